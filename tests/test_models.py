"""Models that a recipe loads: which revision of the Hub, and what is told where there is none."""

import pytest
import torch
from huggingface_hub import constants

from mitigate.recipes.arguments import ModelArguments
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.grid import cell_id, cells_of
from mitigate.recipes.models import check_model, load_model
from tests.test_task_answers import small_model
from tests.tiny_tokenizers import byte_level_bpe

MODEL = "my-org/tiny"
COMMITS = {"main": "a" * 40, "v2": "b" * 40}


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """Put a model with two revisions where the Hub's downloads lie, and give the first weight of each."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder, found = tmp_path / "models--my-org--tiny", {}
    (folder / "refs").mkdir(parents=True)
    for name, commit in COMMITS.items():
        (folder / "refs" / name).write_text(commit)
        tokenizer = byte_level_bpe()
        torch.manual_seed(int(commit, 16) % 2**32)
        model = small_model(tokenizer)
        model.save_pretrained(folder / "snapshots" / commit)
        tokenizer.save_pretrained(folder / "snapshots" / commit)
        found[name] = model.lm_head.weight[0, 0].item()
    return found


@pytest.mark.parametrize(("revision", "name"), [(None, "main"), ("v2", "v2"), (COMMITS["v2"], "v2")])
def test_the_revision_that_is_named_is_loaded(weights, revision, name):
    arguments = ModelArguments(model=MODEL, model_revision=revision)
    check_model(arguments)
    model, _ = load_model(MODEL, arguments, None)
    assert model.lm_head.weight[0, 0].item() == weights[name] != weights[{"main": "v2", "v2": "main"}[name]]


def test_what_was_trained_from_it_lies_in_a_folder(weights, tmp_path):
    arguments = ModelArguments(model=MODEL, model_revision="v2")
    model, tokenizer = load_model(MODEL, arguments, None)
    model.save_pretrained(tmp_path / "trained")
    tokenizer.save_pretrained(tmp_path / "trained")
    again, _ = load_model(str(tmp_path / "trained"), arguments, None)
    assert again.lm_head.weight[0, 0].item() == weights["v2"]


def test_a_revision_that_is_not_there():
    with pytest.raises(ConfigError, match="`model`: my-org/tiny cannot be loaded"):
        check_model(ModelArguments(model=MODEL, model_revision="v3"))


@pytest.mark.parametrize("model", [[], ["--model", "."]])
def test_a_revision_of_no_model_of_the_hub_is_refused(model):
    with pytest.raises(ConfigError, match="`model_revision` is of a model of the Hub"):
        parse_config([*model, "--model_revision", "v2"])


def test_results_of_two_revisions_never_meet(tmp_path):
    names = set()
    for revision in COMMITS:
        config = parse_config(["--model", MODEL, "--model_revision", revision, "--output_dir", str(tmp_path)])
        names.add(cell_id(config, cells_of(config)[0]))
    assert len(names) == 2
