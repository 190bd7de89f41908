# Every target makes its own environment first (VENV, made once and again when its inputs change), so that a clone, make
# and Python are all one needs. `make` alone lists the targets.

PYTHON ?= python3
VENV ?= .venv
EXTRA ?= dev
ARGS ?=
WANDB_MODE ?= offline
export WANDB_MODE

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UNFINISHED := $(VENV)/.unfinished
# The oldest Python has one home: pyproject.toml.
MINOR := $(shell sed -n 's/^requires-python = ">=3\.\([0-9]*\)".*/\1/p' pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint types clean

help: ## list the targets
	@echo "Usage: make TARGET [PYTHON=python3] [VENV=.venv] [EXTRA=dev] [ARGS='more arguments']"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s%s\n", $$1, $$2 }' Makefile

quickstart: $(STAMP) ## train the small testbed with and without mitigation on this machine, and write the report
	@echo "==> Quickstart: a small sweep, trained here from scratch. No GPU, account or download."
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		recipes/sweep.py --config recipes/quickstart.yaml $(ARGS)

# The whole suite runs in as many processes as there are cores. A part of it runs in this one, for a debugger and `-s`.
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
test: $(STAMP) ## run the test suite
	@echo "==> Tests"
	$(BIN)/python -m pytest -q $(or $(ARGS),--numprocesses $(CORES) --maxprocesses 8 --dist worksteal)

lint: $(STAMP) ## check style and formatting
	@echo "==> Style"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy knows nothing of setuptools' package-dir, and would leave out callbacks/ and recipes/: so it is shown a tree of
# links that looks as the package does when imported.
types: $(STAMP) ## check types
	@echo "==> Types"
	@rm -rf build/types && mkdir -p build/types/mitigate
	@ln -s "$(CURDIR)"/mitigate/* "$(CURDIR)"/callbacks "$(CURDIR)"/recipes build/types/mitigate/
	MYPYPATH=build/types $(BIN)/mypy

clean: ## delete the environment, caches and build files; results in outputs/ stay
	test ! -f $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes first, on its own: pip then takes the build of torch that suits this machine, and what depends on torch
# finds it in place. An environment that was begun here and not finished is begun anew; one that was there is used.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, $(MINOR)))' 2>/dev/null || { \
		echo "mitigate needs Python 3.$(MINOR) or newer, but '$(PYTHON) --version' says: $$($(PYTHON) --version 2>&1)." \
			"Name a newer one: make PYTHON=/path/to/python3 TARGET" >&2; exit 1; }
	@echo "==> Setting up $(VENV) (once; some minutes, most of it torch)"
	@test ! -f $(UNFINISHED) || rm -rf $(VENV)
	@test -d $(VENV) || { mkdir -p $(VENV) && touch $(UNFINISHED); }
	@rm -f $@
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA)]'
	@rm -f $(UNFINISHED) && touch $@
