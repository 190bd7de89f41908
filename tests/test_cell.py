"""Cells of a sweep: what each arm of the mix trains on, and for how long."""

import json
from collections import Counter

import pytest
import torch

from mitigate.cells import Cell
from mitigate.dose import group_label_association
from mitigate.recipes.cell import base_source, make_task, run_cell, training_mix
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.fitting import fit_cell
from mitigate.recipes.grid import cells_of
from mitigate.recipes.sweep import main
from mitigate.recipes.training import trained_model
from mitigate.world import World

SMALL = [
    *("--training_rows", "40", "--epochs", "3", "--batch_size", "16", "--base_epochs", "0.05"),
    *("--hidden_size", "16", "--layers", "1", "--report_to", "none", "--seeds", "0"),
]
COUNTS = {"none": (24, 16), "drop": (24, 0), "repeat": (40, 0), "add": (40, 27)}  # at a bias ratio of 0.4


@pytest.fixture
def config(tmp_path):
    return parse_config([*SMALL, "--output_dir", str(tmp_path)])


@pytest.mark.parametrize("arm", COUNTS)
def test_rows_of_an_arm_by_hand(config, arm):
    task = make_task(config)
    rows = training_mix(config, task, Cell(1.0, arm, 0.4, seed=0))
    real = Counter(row["prompt"] for row in rows if not row["augmented"])
    assert (sum(real.values()), sum(rows["augmented"])) == COUNTS[arm]
    assert set(real) == set(task.real(40 if arm == "add" else 24, seed=0)["prompt"])
    assert set(real.values()) == ({1, 2} if arm == "repeat" else {1})


def test_every_arm_makes_as_many_steps_as_the_models_of_real_rows_alone(config):
    task = make_task(config)
    cells = [Cell(0.0, "none", 0.0, 0), Cell(1.0, "drop", 0.4, 0), Cell(1.0, "add", 0.4, 0)]
    records = [run_cell(config, task, cell) for cell in cells]
    assert [record["steps"] for record in records] == [9] * 3  # 3 epochs of 40 rows, 16 at a time
    assert [tuple(record["rows"].values()) for record in records] == [(40, 0), (24, 0), (40, 27)]


@pytest.mark.parametrize("lora", ["false", "true"], ids=["full", "lora"])
def test_what_saves_memory_changes_no_weight(tmp_path, lora):
    small = [*SMALL, "--output_dir", str(tmp_path), "--lora", lora]
    fitted = {}
    for parts, again in ((1, "false"), (4, "false"), (1, "true"), (4, "true")):
        saving = ["--gradient_accumulation_steps", str(parts), "--activation_checkpointing", again]
        config = parse_config([*small, *saving])
        task, cell = make_task(config), Cell(0.0, "none", 0.0, 0)
        found = fit_cell(config, task, cell, base_source(config, task, 0), training_mix(config, task, cell))
        assert found.steps == 9 and found.trainer.args.per_device_train_batch_size == 16 // parts
        assert found.trainer.model.is_gradient_checkpointing == (again == "true")
        fitted[parts, again] = trained_model(found.trainer).state_dict()
    first = fitted.pop((1, "false"))
    for weights in fitted.values():
        for name, weight in weights.items():
            torch.testing.assert_close(weight, first[name], rtol=1e-3, atol=1e-4)


def test_a_batch_is_split_into_equal_parts():
    with pytest.raises(
        ConfigError, match=r"`batch_size` must be a multiple of `gradient_accumulation_steps`.* 16 and 3"
    ):
        parse_config([*SMALL, "--gradient_accumulation_steps", "3"])


def test_a_record_tells_how_biased_its_rows_are(config):
    task = make_task(config)
    found = {}
    for cell in [Cell(0.0, "none", 0.0, 0), Cell(1.0, "none", 0.4, 0), Cell(1.0, "drop", 0.4, 0)]:
        rows = training_mix(config, task, cell)
        found[cell] = run_cell(config, task, cell)["metrics"]["data_bias"]
        assert found[cell] == group_label_association(rows["group"], rows["label"], World().stereotypes)
    real, mixed, dropped = found.values()
    assert mixed > max(real, dropped) + 0.2


def test_arms_are_cells_like_mitigations_and_checked_before_training(config, tmp_path, capsys):
    arguments = [*SMALL, "--output_dir", str(tmp_path), "--mitigations", "none", "drop", "add"]
    found = {cell.mitigation for cell in cells_of(parse_config([*arguments, "--bias_ratios", "0", "0.5"]))}
    assert found == {"none", "drop", "add"}
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "text,label,group,augmented\n"
        + "".join(f"{n},{'ab'[n % 2]},{'fm'[n // 2 % 2]},{n >= 40}\n" for n in range(100)),
        encoding="utf-8",
    )
    table = ["--task", "table", "--real_file", str(rows), "--test_file", str(rows), "--text_column", "text"]
    table += ["--label_column", "label", "--group_column", "group", "--stereotypes", "a=f", "b=m"]
    # 40 rows at a bias ratio of 0.5: twenty augmented rows replace real ones, but forty are added to them.
    assert main([*arguments, *table, "--bias_ratios", "0", "0.5"]) == 2
    assert "A dose of 1 with 40 augmented rows needs 20 rows of label 'a'" in capsys.readouterr().err


@pytest.mark.parametrize(("longest", "lost"), [(16, 20), (2, 40)])
def test_rows_whose_answer_is_cut_off_fail_the_cell_and_not_its_count(tmp_path, longest, lost):
    for name, size, groups, prompt in (("real", 40, 2, "short"), ("augmented", 20, 1, "such a long prompt " * 4)):
        rows = [
            {"prompt": f"{prompt} {n}?", "answer": "yes", "label": "a", "group": "fm"[n % groups]} for n in range(size)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = [word for name in ("real", "augmented") for word in (f"--{name}_file", str(tmp_path / f"{name}.jsonl"))]
    columns = ["--prompt_column", "prompt", "--completion_column", "answer", "--group_column", "group"]
    columns += ["--label_column", "label", "--stereotypes", "a=f", "--test_file", str(tmp_path / "real.jsonl")]
    table = ["--task", "table", *files, *columns, "--vocabulary_size", "270", "--max_length", str(longest)]
    config = parse_config([*SMALL, *table, "--output_dir", str(tmp_path)])
    with pytest.raises(ValueError, match=f"`max_length`: {lost} of 40 rows .* {longest} tokens leave nothing"):
        run_cell(config, make_task(config), Cell(1.0, "none", 0.5, seed=0))
