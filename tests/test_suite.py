"""Sweeps of tasks: rows of a bias type to train on, downstream tasks to measure on, and the records of both."""

import json
from pathlib import Path

import pytest
import torch
import trl
import yaml

from mitigate.cells import Cell
from mitigate.recipes.cell import base_source, make_task, run_cell, training_mix
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.fitting import asking_of, fit_cell
from mitigate.recipes.grid import cells_of
from mitigate.recipes.models import load_model
from mitigate.recipes.sweep import main
from mitigate.recipes.training import trained_model
from mitigate.tasks import Prompt, load_task
from mitigate.tasks.answers import render

LEVELS = [(c, s, g) for c in ("contextless", "contextual") for s in ("single", "intersectional")
          for g in ("explicit", "implicit")]  # fmt: skip
SMALL = {
    "task": "tasks", "tasks": ["occupation", "hiring"], "attribute": "gender", "max_items": 24, "eval_batch_size": 64,
    "made_up_rows": True, "bias_ratios": [0, 0.5], "bias_types": ["explicit", "implicit"], "seeds": [0],
    "training_rows": 32, "epochs": 1, "batch_size": 16, "base_epochs": 0.05, "hidden_size": 16, "layers": 1,
    "vocabulary_size": 500, "report_to": "none", "workers": 1, "output_dir": "out",
}  # fmt: skip


def config_of(**changes):
    settings = {name: value for name, value in {**SMALL, **changes}.items() if value is not None}
    Path("sweep.yaml").write_text(yaml.safe_dump(settings))
    return parse_config(["--config", "sweep.yaml"])


def write(name, rows):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def files(augmented=None, **changes):
    """A configuration of files: forty real rows, eighty augmented ones that tell their type in their prompt."""
    typed = [
        {"prompt": f"{'-'.join(levels)} {n}", "answer": "yes", "group": "woman",
         **dict(zip(("context", "scope", "signal"), levels, strict=True))}
        for n in range(10) for levels in LEVELS
    ]  # fmt: skip
    real = [{"prompt": f"real {n}", "answer": "no", "group": "man"} for n in range(40)]
    items = [
        {"text": f"{group} {label} {n}", "label": label, "group": group}
        for group in ("female", "male") for label in ("nurse", "pilot") for n in range(4)
    ]  # fmt: skip
    write("items/occupation.jsonl", items)
    return config_of(
        **{
            "made_up_rows": None, "items_dir": "items", "tasks": ["occupation"], "max_items": 8, "training_rows": 40,
            "real_file": write("real.jsonl", real),
            "augmented_file": write("augmented.jsonl", typed if augmented is None else augmented),
            "prompt_column": "prompt", "completion_column": "answer", "group_column": "group", **changes,
        }
    )  # fmt: skip


class TestRows:
    @pytest.mark.parametrize("kind", ["contextless", "contextual", "single", "intersectional", "explicit", "implicit"])
    def test_a_bias_type_draws_its_rows_and_no_others(self, kind):
        suite = make_task(files())
        few, many = (suite.augmented(n, dose=1.0, seed=3, bias_type=kind)["prompt"] for n in (9, 40))
        assert set(few) < set(many)  # fewer are always among more
        assert len(set(many)) == 40 and all(kind in prompt.split()[0].split("-") for prompt in many)
        with pytest.raises(ConfigError, match=f"41 augmented {kind} rows are needed and 40 are there"):
            suite.augmented(41, dose=1.0, seed=3, bias_type=kind)

    def test_all_types_are_all_rows(self):
        assert len(set(make_task(files()).augmented(80, dose=1.0, seed=0)["prompt"])) == 80

    def test_the_mix_of_a_cell_has_rows_of_its_type(self):
        config = files()
        rows = training_mix(config, make_task(config), Cell(1.0, "none", 0.5, 0, "implicit"))
        told = {prompt.split()[0].split("-")[-1] for prompt in rows["prompt"]}
        assert told == {"real", "implicit"}
        assert sum(rows["augmented"]) == 20

    def test_rows_that_do_not_tell_their_type_are_refused(self):
        rows = [{"prompt": "a", "answer": "b", "group": "c", "context": "contextless", "scope": "single"}]
        with pytest.raises(ConfigError, match=r"augmented.jsonl has no column 'signal' \(columns: prompt, answer"):
            make_task(files(rows))
        assert make_task(files(rows, bias_types=["all"]))
        with pytest.raises(ConfigError, match=r"'signal' of augmented\.jsonl must be .* got 'open'"):
            make_task(files([{**rows[0], "signal": "open"}]))


class TestItems:
    def test_items_are_a_fixed_sample_of_the_file(self):
        (suite,) = (make_task(files()),)
        task, prompts = suite.questions["occupation"]
        assert task == load_task("occupation")
        assert sorted({(prompt.group, prompt.target) for prompt in prompts}) == [
            (group, label) for group in ("female", "male") for label in ("nurse", "pilot")
        ]
        assert len(prompts) == 8
        assert prompts == make_task(files(seeds=[1])).questions["occupation"].prompts

    def test_what_does_not_suffice_is_told_before_training(self, capsys):
        files(max_items=4)
        assert main(["--config", "sweep.yaml"]) == 2
        assert "'occupation' cannot be loaded: `max_items=4` is too few" in capsys.readouterr().err
        files()
        write("items/occupation.jsonl", [{"text": "a", "label": "b"}])
        assert main(["--config", "sweep.yaml"]) == 2
        assert "'occupation' cannot be loaded: Column 'group'" in capsys.readouterr().err

    def test_changed_items_give_cells_other_names(self):
        before = files().contents["items_dir"]
        with open("items/occupation.jsonl", "a") as file:
            file.write("\n")
        assert parse_config(["--config", "sweep.yaml"]).contents["items_dir"] != before


class TestCell:
    def test_what_a_record_holds(self):
        config = files(tasks=["occupation", "salary"])
        record = run_cell(config, make_task(config), Cell(1.0, "none", 0.5, 0, "implicit"))
        assert record["cell"]["bias_type"] == "implicit"
        assert set(record["tasks"]) == {"occupation", "salary"} and "metrics" not in record
        assert {"bias", "utility", "bias_low", "value/female", "unparsed/female"} <= set(record["tasks"]["occupation"])
        assert record["tasks"]["salary"]["bias"] is None  # an untrained model names no salary, which fails no cell
        assert record["tasks"]["salary"]["utility"] == 0
        assert sum(record["times"].values()) == pytest.approx(record["runtime_s"], abs=0.002)
        json.dumps(record, allow_nan=False)

    def test_a_model_of_paired_tags_is_asked_with_the_real_tag(self):
        config = files(tag_position="answer")
        suite, cell = make_task(config), Cell(1.0, "token-paired", 0.5, 0, "explicit")
        fitted = fit_cell(config, suite, cell, base_source(config, suite, 0), training_mix(config, suite, cell))
        asking = asking_of(config, cell, fitted.tag)
        assert (asking.tag, asking.tag_position) == ("<|real|>", "answer")
        seen = []
        handle = fitted.trainer.model.register_forward_pre_hook(
            lambda module, args, kwargs: seen.extend(kwargs["input_ids"].tolist()), with_kwargs=True
        )
        suite.measure(fitted.trainer.model, fitted.tokenizer, asking)
        handle.remove()
        tag, turn = fitted.tokenizer.convert_tokens_to_ids(["<|real|>", "<assistant>"])
        assert len(seen) >= 8
        assert all(row[row.index(tag) - 1] == turn for row in seen)  # right before the answer

    @pytest.mark.parametrize(
        ("mitigation", "marks"),
        [("token-paired", ["<|augmented|>", "<|real|>"]), ("mask", ["<mask>"]), ("mask-random", ["<mask>"])],
    )
    def test_adapters_train_the_embeddings_of_marks_and_of_no_other_token(self, mitigation, marks):
        Path("words.txt").write_text("explicit\n")
        config = files(lora=True, lexicon=["words.txt"])
        suite, cell = make_task(config), Cell(1.0, mitigation, 0.5, 0, "explicit")
        source = base_source(config, suite, 0)
        fitted = fit_cell(config, suite, cell, source, training_mix(config, suite, cell))
        weights = dict(fitted.trainer.model.named_parameters())
        trained = {name for name, weight in weights.items() if weight.requires_grad and "lora" not in name}
        assert len(trained) == 1
        (rows,) = (weights[name] for name in trained)
        tags = fitted.tokenizer.convert_tokens_to_ids(marks)
        untrained = fitted.trainer.model.get_input_embeddings().original_module.weight[tags]
        assert rows.shape == untrained.shape
        assert all((rows - untrained).abs().amax(dim=1) > 1e-4)
        assert fitted.tag == ("<|real|>" if mitigation == "token-paired" else "")
        before = load_model(source, config.model, None)[0].get_input_embeddings().weight
        after = trained_model(fitted.trainer).get_input_embeddings().weight
        others = [i for i in range(len(before)) if i not in tags]
        torch.testing.assert_close(after[others], before[others])

    def test_a_model_from_scratch_is_trained_and_asked_in_turns(self):
        config = files()
        suite, cell = make_task(config), Cell(0.0, "none", 0.0, 0)
        rows = training_mix(config, suite, cell)
        fitted = fit_cell(config, suite, cell, base_source(config, suite, 0), rows)
        texts = {fitted.tokenizer.decode(row) for row in fitted.trainer.train_dataset["input_ids"]}
        assert texts == {f"<user>{prompt}<assistant>no<eos>" for prompt in rows["prompt"]}
        asked = render(fitted.tokenizer, suite.questions["occupation"].prompts[0])
        assert asked.startswith("<user>") and asked.endswith("<assistant>")

    def test_made_up_rows_are_what_the_tasks_ask(self):
        config = config_of(tasks=["hiring"])
        suite, cell = make_task(config), Cell(0.0, "none", 0.0, 0)
        fitted = fit_cell(config, suite, cell, base_source(config, suite, 0), training_mix(config, suite, cell))
        asked = {render(fitted.tokenizer, prompt)[-40:] for prompt in suite.questions["hiring"].prompts}
        rows = fitted.trainer.train_dataset
        trained = [ids[: labels.count(-100)] for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True)]
        assert asked == {text[-40:] for text in fitted.tokenizer.batch_decode(trained)}


def test_a_model_that_can_think_is_trained_on_what_it_is_asked():
    config = files()
    suite, cell = make_task(config), Cell(0.0, "none", 0.0, 0)
    rows = training_mix(config, suite, cell)
    model, tokenizer = load_model(base_source(config, suite, 0), config.model, None)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    model.save_pretrained("chat")
    tokenizer.save_pretrained("chat")
    fitted = fit_cell(config, suite, cell, "chat", rows)
    trained = fitted.trainer.train_dataset
    asked = {render(fitted.tokenizer, Prompt(prompt)) for prompt in rows["prompt"]}
    prompts, answers = set(), set()
    for ids, labels in zip(trained["input_ids"], trained["labels"], strict=True):
        start = labels.count(-100)
        prompts.add(fitted.tokenizer.decode(ids[:start]))
        answers.add(fitted.tokenizer.decode(ids[start:]).strip())
    assert prompts == asked
    assert answers == {"no<|im_end|>"}


@pytest.mark.slow
def test_a_sweep_of_tasks_from_its_command_to_its_report(capsys):
    config = config_of(mitigations=["none", "drop"])
    assert main(["--config", "sweep.yaml"]) == 0, capsys.readouterr().err
    records = [json.loads(path.read_text()) for path in Path("out/cells").glob("*.json")]
    places = {(r["cell"]["mitigation"], r["cell"]["bias_ratio"], r["cell"]["bias_type"]) for r in records}
    assert places == {
        ("none", 0.0, "all"), ("drop", 0.5, "all"), ("none", 0.5, "explicit"), ("none", 0.5, "implicit")
    }  # fmt: skip
    assert all(set(record["tasks"]) == {"occupation", "hiring"} for record in records)
    assert {"real": 16, "augmented": 16} in [record["rows"] for record in records]
    described = json.loads(Path("out/sweep.json").read_text())
    assert len(described["cells"]) == len(cells_of(config)) == 4
    capsys.readouterr()
    assert main(["--config", "sweep.yaml"]) == 0
    assert "4 cells, 4 of them done" in capsys.readouterr().out
