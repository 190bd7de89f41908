"""Tasks asked during training: what is logged, that nothing else changes, and that a budget stops the run."""

import copy
import json
import logging
import math
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorForLanguageModeling,
    EarlyStoppingCallback,
    LlamaConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from mitigate import BiasTagTokenizer
from mitigate.callbacks import AlignmentLossCallback, BiasEvaluationCallback, MitigationCallback
from mitigate.callbacks.budget import BiasBudget
from mitigate.seeding import preserved_random_state
from mitigate.tasks import Source, evaluate, load_task
from mitigate.tasks.answers import plain_text
from mitigate.tasks.hiring import HiringTask
from tests.test_distributed import LAUNCHES, launch, logs, train_alone, weights
from tests.test_task_answers import TEMPLATE, small_model
from tests.tiny_tokenizers import byte_level_bpe

NAMES = {"Ann": "a", "Bea": "b", "Cid": "c", "Dan": "d"}


@pytest.fixture
def tokenizer():
    return byte_level_bpe()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    names = "".join(f"{name},{group}\n" for name, group in NAMES.items())
    (folder / "names.csv").write_text(f"name,group\n{names}", encoding="utf-8")
    (folder / "jobs.csv").write_text("occupation,profile\nnurse,{name} is good\n", encoding="utf-8")
    return {
        "source": Source(str(folder / "names.csv")),
        "jobs": Source(str(folder / "jobs.csv")),
        "groups": tuple(NAMES.values()),
    }


@pytest.fixture(scope="module")
def hiring(files):
    """One panel, asked in four orders."""
    return load_task("hiring", **files, panels_per_job=1)


@pytest.fixture
def salary(files):
    """Four names, whose salaries no model of this size names."""
    return load_task("salary", **files, reference="a")


@pytest.fixture(scope="module")
def fair(hiring):
    """Weights of a model that hires whoever is listed first, and so everyone as often."""
    torch.manual_seed(0)
    tokenizer = byte_level_bpe()
    model = small_model(tokenizer)
    prompts = [(f"{prompt.text}\n{prompt.opening}", prompt.choices[0]) for prompt in hiring.prompts(hiring.load())]
    ids = [tokenizer(f"{text} {name}")["input_ids"] for text, name in prompts]
    batch = tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, (text, _) in zip(labels, prompts, strict=True):
        row[: len(tokenizer(text)["input_ids"])] = -100
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(90):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


@pytest.fixture
def model(tokenizer, fair):
    model = small_model(tokenizer)
    model.load_state_dict(fair)
    return model


@pytest.fixture
def rows(hiring):
    """Rows that hire Ann, whatever the order."""
    prompts = [f"{prompt.text}\n{prompt.opening}" for prompt in hiring.prompts(hiring.load())]
    return Dataset.from_dict({"prompt": prompts, "completion": [" Ann"] * 4, "augmented": [True, False] * 2})


def make(model, tokenizer, rows, *callbacks, folder="out", trainer=SFTTrainer, **config):
    settings = {
        "output_dir": folder, "report_to": [], "use_cpu": True, "bf16": False, "max_steps": 6, "logging_steps": 2,
        "save_strategy": "no", "per_device_train_batch_size": 2, "per_device_eval_batch_size": 4,
        "learning_rate": 2e-3, "disable_tqdm": True, "lr_scheduler_type": "constant",
        "activation_checkpointing": False, **config,
    }  # fmt: skip
    evaluates = settings.get("eval_strategy", "no") != "no"
    return trainer(
        copy.deepcopy(model),
        SFTConfig(**settings),
        train_dataset=rows,
        eval_dataset=rows if evaluates else None,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def logged(trainer, name="bias/hiring"):
    return {log["step"]: log[name] for log in trainer.state.log_history if name in log}


def without_time(history):
    timed = ("runtime", "per_second")
    return [{key: value for key, value in log.items() if not any(part in key for part in timed)} for log in history]


class TestWhatIsLogged:
    def test_the_value_is_that_of_evaluate_on_the_same_sample(self, model, tokenizer, rows, salary):
        task = load_task("hiring", panels_per_job=2)
        callback = BiasEvaluationCallback([task, salary], max_items=3, seed=5)
        trainer = make(model, tokenizer, rows, callback, eval_strategy="steps", eval_steps=3)
        trainer.train()
        for network, step in ((model, 0), (trainer.model, 6)):
            scores = evaluate(task, network, tokenizer, task.load(), max_items=3, seed=5, batch_size=4)
            (log,) = (log for log in trainer.state.log_history if log["step"] == step and "bias/hiring" in log)
            assert log["bias/hiring"] == scores.bias
            assert log["utility/hiring"] == scores.utility == 1
            assert log["unparsed/hiring"] == 0
            assert log["unparsed/salary"] == 1
            assert math.isnan(log["bias/salary"])
            assert log["bias/runtime_s"] > 0

    def test_a_model_that_is_taught_a_bias_shows_it(self, model, tokenizer, rows, hiring):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring, every_steps=10), max_steps=30)
        trainer.train()
        biases = logged(trainer)
        assert list(biases) == [0, 10, 20, 30]
        assert biases[0] == 0 and biases[30] == 1

    def test_at_every_evaluation_of_the_trainer(self, model, tokenizer, rows, hiring):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring), eval_strategy="epoch")
        trainer.train()
        assert list(logged(trainer)) == [0, 2, 4, 6] and list(logged(trainer, "eval_loss")) == [2, 4, 6]

    def test_own_steps_and_the_last(self, model, tokenizer, rows, hiring):
        callback = BiasEvaluationCallback(hiring, every_steps=4)
        trainer = make(model, tokenizer, rows, callback, eval_strategy="steps", eval_steps=1, logging_steps=4)
        trainer.train()
        assert list(logged(trainer)) == [0, 4, 6]
        assert list(logged(trainer, "loss")) == [4]  # due in the same step, and not lost
        assert not any("bias" in key for log in trainer.state.log_history if "eval_loss" in log for key in log)

    def test_without_the_callback_there_is_nothing(self, model, tokenizer, rows):
        trainer = make(model, tokenizer, rows, eval_strategy="epoch")
        trainer.train()
        assert not any("/" in key for log in trainer.state.log_history for key in log)

    def test_outside_of_training(self, model, tokenizer, rows, hiring):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring), eval_strategy="epoch")
        before = trainer.evaluate()
        assert before["eval_bias/hiring"] == evaluate(hiring, model, tokenizer, hiring.load()).bias
        trainer.train()
        with torch.no_grad():
            trainer.model.lm_head.weight.copy_(model.lm_head.weight)
            trainer.model.model.load_state_dict(model.model.state_dict())
        assert trainer.evaluate()["eval_bias/hiring"] == before["eval_bias/hiring"]

    def test_once_a_step_whatever_evaluates(self, model, tokenizer, rows, hiring):
        trainer = make(
            model, tokenizer, rows, BiasEvaluationCallback(hiring), eval_strategy="epoch", eval_on_start=True
        )
        trainer.eval_dataset = {"one": trainer.eval_dataset, "other": trainer.eval_dataset}
        trainer.train()
        steps = [log["step"] for log in trainer.state.log_history if "bias/hiring" in log]
        assert steps == [0, 2, 4, 6]

    def test_reaches_wandb(self, model, tokenizer, rows, hiring):
        callback = BiasEvaluationCallback(hiring, every_steps=3)
        trainer = make(model, tokenizer, rows, callback, report_to=["wandb"])
        trainer.train()
        import wandb

        wandb.finish()
        (run,) = Path("wandb").glob("offline-run-*")
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        items = [record["history"]["item"] for record in map(json.loads, lines) if record["type"] == "history"]
        found = {item["train/global_step"]: item["train/bias/hiring"] for item in items if "train/bias/hiring" in item}
        assert found == pytest.approx(logged(trainer))


class DrawingTask(HiringTask):
    """A task of a user that draws from the global random state."""

    def parse(self, prompt, answer):
        draw()
        return super().parse(prompt, answer)


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_the_example_of_the_page_runs(model, tokenizer, rows):
    page = Path(__file__).parents[1].joinpath("docs/tasks.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "SFTTrainer(" in block)
    example = example.replace('"out",', '"out", max_steps=4, use_cpu=True, bf16=False, report_to=[],')
    example = example.replace("=50", "=2").replace("max_items=16", "max_items=2")
    names = {"model": model, "train_dataset": rows, "eval_dataset": rows}
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    model.config._name_or_path = "model"  # from where the trainer takes the tokenizer
    exec(example, names)
    history = names["trainer"].state.log_history
    assert {"bias/hiring", "bias_budget/hiring", "bias/salary"} < {key for log in history for key in log}


class TestTrainingIsUnchanged:
    def test_random_states_are_kept_after_an_error_too(self):
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        expected = draw()
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        with pytest.raises(KeyError), preserved_random_state(torch.device("cpu")):
            draw()
            raise KeyError
        assert draw() == expected

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"gradient_checkpointing": True},
            {"peft": True},
            {"optim": "adafactor", "gradient_accumulation_steps": 2},
            {"torch_compile": True, "torch_compile_backend": "eager"},
        ],
        ids=["plain", "gradient checkpointing", "LoRA", "accumulation", "compiled"],
    )
    def test_the_weights_are_the_same_to_the_bit(self, tokenizer, rows, files, salary, options):
        model = small_model(tokenizer)
        for layer in model.model.layers:  # dropout is drawn from the random state, from which the task draws as well
            layer.self_attn.attention_dropout = 0.3
        hiring = DrawingTask(**files, panels_per_job=1)
        trained = {}
        for name, callbacks in {"with": [BiasEvaluationCallback([hiring, salary])], "without": []}.items():
            torch.manual_seed(0)
            settings = {**options, "eval_strategy": "steps", "eval_steps": 2}
            peft = settings.pop("peft", False)
            network = copy.deepcopy(model)
            trainer = SFTTrainer(
                network,
                SFTConfig(
                    name, report_to=[], use_cpu=True, bf16=False, max_steps=5, per_device_train_batch_size=2,
                    learning_rate=1e-2, disable_tqdm=True, activation_checkpointing=False, save_strategy="no",
                    logging_steps=1, **settings,
                ),
                train_dataset=rows, eval_dataset=rows, processing_class=tokenizer, callbacks=callbacks,
                peft_config=LoraConfig(task_type="CAUSAL_LM", r=2, lora_dropout=0.3) if peft else None,
            )  # fmt: skip
            trainer.train()
            trained[name] = trainer
        for one, other in zip(trained["with"].model.parameters(), trained["without"].model.parameters(), strict=True):
            assert torch.equal(one, other)
        assert any(
            not torch.equal(one, other)
            for one, other in zip(
                trained["with"].model.state_dict().values(), model.state_dict().values(), strict=False
            )
        )
        # The trainer's own logs are the same as well.
        ours = [log for log in trained["with"].state.log_history if "bias/hiring" not in log]
        assert without_time(ours) == without_time(trained["without"].state.log_history)

    def test_with_another_mitigation(self, model, tokenizer, rows, hiring):
        trained = []
        for callbacks in ([BiasEvaluationCallback(hiring, every_steps=1)], []):
            mitigation = MitigationCallback(mask="gender", loss=AlignmentLossCallback(discrepancy="mean"))
            trainer = make(model, tokenizer, rows, mitigation, *callbacks)
            with pytest.warns(UserWarning, match="masking"):
                trainer.train()
            trained.append(trainer)
        for one, other in zip(*(trainer.model.parameters() for trainer in trained), strict=True):
            assert torch.equal(one, other)
        assert logged(trained[0], "alignment/mean") == logged(trained[1], "alignment/mean") != {}

    def test_in_its_own_steps_too_and_in_other_trainers(self, model, tokenizer, rows, hiring):
        tokens = Dataset.from_list([tokenizer(row["prompt"] + row["completion"]) for row in rows])
        trained = []
        for callbacks in ([BiasEvaluationCallback(hiring, every_steps=2)], []):
            trainer = Trainer(
                copy.deepcopy(model),
                TrainingArguments(
                    "out", max_steps=4, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True
                ),
                train_dataset=tokens,
                data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
                processing_class=tokenizer,
                callbacks=callbacks,
            )
            trainer.train()
            trained.append(trainer)
        for one, other in zip(*(trainer.model.parameters() for trainer in trained), strict=True):
            assert torch.equal(one, other)
        assert list(logged(trained[0])) == [0, 2, 4]

    def test_with_preferences(self, model, tokenizer, rows, hiring):
        pairs = rows.rename_column("completion", "chosen").add_column("rejected", [" Bea"] * 4)
        options = {"report_to": [], "use_cpu": True, "bf16": False, "max_steps": 2, "disable_tqdm": True}
        model.save_pretrained("model")  # the reference model is loaded from there
        trainer = DPOTrainer(
            type(model).from_pretrained("model"),
            args=DPOConfig("out", save_strategy="no", logging_steps=1, **options),
            train_dataset=pairs.remove_columns("augmented"),
            processing_class=tokenizer,
            callbacks=[BiasEvaluationCallback(hiring, every_steps=1)],
        )
        trainer.train()
        assert list(logged(trainer)) == [0, 1, 2]
        # Its own means of the training are logged with the training loss, and nowhere else.
        assert all(("rewards/margins" in log) == ("loss" in log) for log in trainer.state.log_history[:-1])

    def test_an_optimizer_that_keeps_other_weights_to_evaluate_is_told(self, model, tokenizer, rows, hiring):
        calls = []

        class Averaging(torch.optim.SGD):
            def train(self):
                calls.append("train")

            def eval(self):
                calls.append("eval")

        network = copy.deepcopy(model)
        trainer = make(network, tokenizer, rows, BiasEvaluationCallback(hiring, every_steps=1), max_steps=1)
        trainer.optimizer = Averaging(trainer.model.parameters(), lr=0.1)
        trainer.train()
        assert calls == ["eval", "train", "eval"]


class TestAsking:
    def test_generation_caches_under_gradient_checkpointing(self, model, tokenizer, rows, salary, caplog):
        lengths = []

        class Watch(TrainerCallback):
            def on_train_begin(self, args, state, control, **kwargs):
                kwargs["model"].register_forward_pre_hook(
                    lambda module, args, kwargs: lengths.append((module.training, kwargs["input_ids"].shape[1])),
                    with_kwargs=True,
                )

        callback = BiasEvaluationCallback(salary, every_steps=2)
        trainer = make(model, tokenizer, rows, Watch(), callback, max_steps=2, gradient_checkpointing=True)
        trainer.train()
        asked = [length for training, length in lengths if not training]
        assert asked.count(1) > 0.8 * len(asked)
        assert "use_cache" not in caplog.text

    def test_a_paired_tag_is_put_before_the_prompts(self, model, tokenizer, rows, hiring):
        seen = []

        class Watch(TrainerCallback):
            def on_train_begin(self, args, state, control, **kwargs):
                kwargs["model"].register_forward_pre_hook(
                    lambda module, args, kwargs: None if module.training else seen.append(kwargs["input_ids"]),
                    with_kwargs=True,
                )

        mitigation = MitigationCallback(token="paired", tag_position="answer")
        # The mitigation comes last, and is constructed last.
        trainer = make(model, tokenizer, rows, Watch(), BiasEvaluationCallback(hiring, every_steps=6), mitigation)
        trainer.train()
        tag = tokenizer.convert_tokens_to_ids(mitigation.real_tag)
        opening = tokenizer(":")["input_ids"][-1]
        assert seen
        for batch in seen:
            for row in batch.tolist():
                assert row.count(tag) == 1 and row[row.index(tag) - 1] == opening

    def test_hidden_marks_stay_out_of_prompts(self, model, tokenizer, rows, hiring, salary):
        hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        model.resize_token_embeddings(len(hidden))
        texts = rows.map(lambda row: {"text": row["prompt"] + row["completion"]}).select_columns(["text", "augmented"])
        callbacks = [
            AlignmentLossCallback(discrepancy="mean"),
            BiasEvaluationCallback([hiring, salary], every_steps=3),
        ]
        trainer = make(model, hidden, hidden.tag(texts), *callbacks, packing=True, max_length=600)
        trainer.train()
        values = [log for log in trainer.state.log_history if "bias/hiring" in log]
        scores = evaluate(hiring, trainer.model, tokenizer, hiring.load(), batch_size=4)
        assert values[-1]["bias/hiring"] == scores.bias

    @pytest.mark.parametrize(("mitigated", "warned"), [(False, True), (True, False)])
    def test_a_paired_tag_whose_place_is_unknown_is_told_of(
        self, model, tokenizer, rows, hiring, caplog, mitigated, warned
    ):
        tagged = BiasTagTokenizer.wrap(tokenizer, paired=True)
        model.resize_token_embeddings(len(tagged))
        callbacks = [BiasEvaluationCallback(hiring, every_steps=2)]
        callbacks += [MitigationCallback(token="paired", tag_position="answer")] if mitigated else []
        with caplog.at_level(logging.WARNING):
            make(model, tagged, tagged.tag(rows, position="answer"), *callbacks, max_steps=2).train()
        assert ("tasks are asked without it" in caplog.text) == warned

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_either_side_may_be_padded_and_a_template_used(self, model, tokenizer, rows, salary, side):
        tokenizer.padding_side = side
        tokenizer.chat_template = TEMPLATE
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(salary, every_steps=6))
        trainer.train()
        assert list(logged(trainer, "unparsed/salary")) == [0, 6]
        assert tokenizer.padding_side == side

    def test_in_bf16(self, model, tokenizer, rows, hiring, salary):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback([hiring, salary], every_steps=3), bf16=True)
        trainer.train()
        assert list(logged(trainer)) == [0, 3, 6]

    def test_a_model_that_was_compiled_before(self, model, tokenizer, rows, hiring, salary):
        options = {"use_cpu": True, "report_to": [], "save_strategy": "no", "disable_tqdm": True}
        trainer = Trainer(
            torch.compile(model, backend="eager"),
            TrainingArguments("out", max_steps=2, remove_unused_columns=False, **options),
            train_dataset=Dataset.from_list([tokenizer(row["prompt"] + row["completion"]) for row in rows]),
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
            processing_class=tokenizer,
            callbacks=[BiasEvaluationCallback([hiring, salary], every_steps=2)],
        )
        trainer.train()
        scores = evaluate(hiring, model, tokenizer, hiring.load(), batch_size=8)
        assert logged(trainer)[2] == scores.bias


class Break(TrainerCallback):
    """Damage the model that is trained, in the middle of training."""

    def __init__(self, weight):
        self.weight = weight

    def on_step_end(self, args, state, control, model, **kwargs):
        if state.global_step == 3:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(self.weight)


class TestBrokenModel:
    """All names get the same salary until the model breaks: with zeros it writes nothing, with NaN it cannot write."""

    @pytest.fixture
    def generous(self, tokenizer, salary):
        torch.manual_seed(0)
        model = small_model(tokenizer)
        prompts = [plain_text(prompt) for prompt in salary.prompts(salary.load())]
        ids = [tokenizer(f"{prompt} 50000{tokenizer.eos_token}")["input_ids"] for prompt in prompts]
        batch = tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        for row, prompt in zip(labels, prompts, strict=True):
            row[: len(tokenizer(prompt)["input_ids"])] = -100
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(80):
            model(**batch, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return model

    def train(self, model, tokenizer, rows, salary, weight, **options):
        callback = BiasEvaluationCallback(salary, every_steps=2, **options)
        trainer = make(model, tokenizer, rows, Break(weight), callback, max_steps=6, learning_rate=1e-7)
        trainer.train()
        return trainer

    @pytest.mark.parametrize("weight", [0.0, math.nan])
    def test_its_bias_is_unknown_and_a_budget_stops_it(self, generous, tokenizer, rows, salary, weight, caplog):
        with caplog.at_level(logging.WARNING):
            trainer = self.train(generous, tokenizer, rows, salary, weight, budget={"salary": 5})
        assert logged(trainer, "unparsed/salary") == {0: 0, 2: 0, 4: 1}
        assert logged(trainer, "bias/salary") == pytest.approx({0: 0, 2: 0, 4: math.nan}, nan_ok=True)
        assert trainer.state.global_step == 4
        assert "after step 4: the bias of task 'salary' is unknown (unparsed: 100%)" in caplog.text

    def test_without_a_budget_it_is_told_of(self, generous, tokenizer, rows, salary, caplog):
        with caplog.at_level(logging.WARNING):
            trainer = self.train(generous, tokenizer, rows, salary, math.nan)
        assert trainer.state.global_step == 6
        assert "Task 'salary' after step 4: The model's scores are not finite" in caplog.text


class TestBudget:
    def test_training_stops_when_it_is_spent(self, model, tokenizer, rows, hiring, caplog):
        callback = BiasEvaluationCallback(hiring, every_steps=2, budget={"hiring": 0.2})
        trainer = make(model, tokenizer, rows, callback, max_steps=60)
        with caplog.at_level(logging.WARNING):
            trainer.train()
        biases, left = logged(trainer), logged(trainer, "bias_budget/hiring")
        last = trainer.state.global_step
        assert 0 < last < 60 and last == max(biases) and biases[0] == 0
        assert left[0] == 0.2 and left == pytest.approx(
            {step: 0.2 - (bias - biases[0]) for step, bias in biases.items()}
        )
        assert [step for step, value in left.items() if value < 0] == [last]
        assert (
            f"Training stops after step {last}: the bias of task 'hiring' is {biases[last]:.4g}, and was "
            f"{biases[0]:.4g} before training: its budget of 0.2 is spent."
        ) in caplog.text

    def test_at_an_evaluation_too(self, model, tokenizer, rows, hiring):
        callback = BiasEvaluationCallback(hiring, budget={"hiring": 0.2})
        trainer = make(model, tokenizer, rows, callback, max_steps=60, eval_strategy="steps", eval_steps=2)
        trainer.train()
        assert 0 < trainer.state.global_step < 60

    def test_a_bias_that_is_unknown_is_not_a_small_one(self):
        budget = BiasBudget({"salary": 0.5}, ["salary", "hiring"])
        budget.start({"bias/salary": 0.1, "unparsed/salary": 0.0})
        values = {"bias/salary": math.nan, "unparsed/salary": 1.0}
        values |= budget.left(values)
        (told,) = budget.spent(values)
        assert told.startswith(
            "the bias of task 'salary' is unknown (unparsed: 100%), and was 0.1 before training: its budget of 0.5 "
            "cannot be kept."
        )

    def test_a_budget_that_lasts_stops_nothing(self, model, tokenizer, rows, hiring):
        callback = BiasEvaluationCallback(hiring, every_steps=2, budget={"hiring": 1})
        trainer = make(model, tokenizer, rows, callback, max_steps=20)
        trainer.train()
        assert trainer.state.global_step == 20

    def test_a_resumed_run_goes_on_with_the_same_budget(self, model, tokenizer, rows, hiring):
        def callback():
            return BiasEvaluationCallback(hiring, every_steps=2, budget={"hiring": 0.2})

        settings = {"save_strategy": "steps", "save_steps": 2}
        unbroken = make(model, tokenizer, rows, callback(), max_steps=60, **settings)
        unbroken.train()
        stop = unbroken.state.global_step
        assert stop > 2
        resumed = make(model, tokenizer, rows, callback(), max_steps=60, folder="resumed", **settings)
        resumed.train(resume_from_checkpoint=f"out/checkpoint-{stop - 2}")
        assert resumed.state.global_step == stop
        assert logged(resumed) == logged(unbroken)
        assert logged(resumed, "bias_budget/hiring") == logged(unbroken, "bias_budget/hiring")
        for one, other in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
            assert torch.equal(one, other)

    def test_a_checkpoint_without_it_is_told_of(self, model, tokenizer, rows, hiring, caplog):
        make(model, tokenizer, rows, save_strategy="steps", save_steps=2, max_steps=2).train()
        callback = BiasEvaluationCallback(hiring, every_steps=2, budget={"hiring": 1})
        trainer = make(model, tokenizer, rows, callback, max_steps=4)
        with caplog.at_level(logging.WARNING):
            trainer.train(resume_from_checkpoint="out/checkpoint-2")
        assert "budgets count from the bias at step 2" in caplog.text
        assert list(logged(trainer)) == [2, 4]


BEST = {
    "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "max_steps": 30,
    "load_best_model_at_end": True, "metric_for_best_model": "bias/hiring", "greater_is_better": False,
}  # fmt: skip


class TestBestModel:
    def test_the_least_biased_checkpoint_is_loaded(self, model, tokenizer, rows, hiring):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring), **BEST)
        trainer.train()
        biases = logged(trainer)
        least = min(bias for step, bias in biases.items() if step)
        assert trainer.state.best_metric == least < biases[30]
        assert trainer.evaluate()["eval_bias/hiring"] == least

    def test_early_stopping_works_wherever_it_stands(self, model, tokenizer, rows, hiring, caplog):
        callbacks = [EarlyStoppingCallback(2), BiasEvaluationCallback(hiring)]
        trainer = make(model, tokenizer, rows, *callbacks, **BEST)
        with caplog.at_level(logging.WARNING):
            trainer.train()
        assert trainer.state.global_step < 30
        assert "early stopping is disabled" not in caplog.text

    @pytest.mark.parametrize(
        ("options", "change", "message"),
        [
            ({}, {"greater_is_better": True}, "set `greater_is_better=False`"),
            ({}, {"metric_for_best_model": "utility/hiring"}, "set `greater_is_better=True`"),
            ({}, {"metric_for_best_model": "eval_bias/salary"}, r"'bias/salary' is not measured .*: bias/hiring"),
            ({"every_steps": 2}, {}, "leave `every_steps` out"),
        ],
    )
    def test_a_wrong_metric_is_refused_before_training(self, model, tokenizer, rows, hiring, options, change, message):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring, **options), **{**BEST, **change})
        with pytest.raises(ValueError, match=message):
            trainer.train()
        assert trainer.state.global_step == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"tasks": ["hirring"]}, r"no task 'hirring' .* Did you mean 'hiring'\?"),
            ({"tasks": []}, "at least one task"),
            ({"tasks": ["hiring", "hiring"]}, "each once"),
            ({"max_items": 0}, "`max_items` must be an integer, at least 1"),
            ({"every_steps": 2.5}, "`every_steps` must be an integer, at least 1"),
            ({"budget": {"salary": 1}}, r"no task 'salary' \(tasks: hiring\)"),
            ({"budget": {"hiring": -0.1}}, "`budget` of task 'hiring' must be a finite number, at least 0, got -0.1"),
            ({"budget": {"hiring": math.nan}}, "must be a finite number"),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            BiasEvaluationCallback(**{"tasks": "hiring", **arguments})

    def test_when_the_trainer_is_made(self, model, tokenizer, rows, hiring):
        missing = load_task("topics", source=Source("missing.csv"))
        with pytest.raises(ValueError, match=r"There is no file missing\.csv"):
            make(model, tokenizer, rows, BiasEvaluationCallback(missing))
        with pytest.raises(ValueError, match=r"`max_items=4` is too few for task 'stories'"):
            make(model, tokenizer, rows, BiasEvaluationCallback("stories", max_items=4))

    def test_a_classifier_is_not_asked(self, tokenizer, hiring):
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        classifier = AutoModelForSequenceClassification.from_config(LlamaConfig(**sizes))
        with pytest.raises(ValueError, match="causal language model, and `LlamaForSequenceClassification` is none"):
            Trainer(
                classifier,
                TrainingArguments("out", use_cpu=True, report_to=[]),
                processing_class=tokenizer,
                callbacks=[BiasEvaluationCallback(hiring)],
            )

    def test_without_a_tokenizer(self, model, hiring):
        with pytest.raises(ValueError, match="`processing_class` is NoneType, no tokenizer"):
            Trainer(
                model,
                TrainingArguments("out", use_cpu=True, report_to=[]),
                callbacks=[BiasEvaluationCallback(hiring)],
            )

    def test_what_would_never_run(self, model, tokenizer, rows, hiring):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring))
        with pytest.raises(ValueError, match=r"would never run.*Set `every_steps`"):
            trainer.train()
        assert trainer.state.global_step == 0

    @pytest.mark.parametrize(
        ("schedule", "end"),
        [({"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 7}, "7` is beyond .* 6 steps"),
         ({"eval_strategy": "epoch", "eval_delay": 4}, "4` is beyond .* 3 epochs")],
        ids=["steps", "epochs"],
    )  # fmt: skip
    def test_a_delay_beyond_the_end(self, model, tokenizer, rows, hiring, schedule, end):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring, budget={"hiring": 0}), **schedule)
        with pytest.raises(ValueError, match=f"would never run: `eval_delay={end}"):
            trainer.train()
        assert trainer.state.global_step == 0

    @pytest.mark.parametrize("schedule", [{"eval_steps": 100}, {"eval_steps": 2, "eval_delay": 6}], ids=str)
    def test_an_evaluation_at_the_end_is_one(self, model, tokenizer, rows, hiring, schedule):
        trainer = make(model, tokenizer, rows, BiasEvaluationCallback(hiring), eval_strategy="steps", **schedule)
        trainer.train()
        assert list(logged(trainer)) == [0, 6]

    def test_a_budget_for_what_cannot_be_measured(self, model, tokenizer, rows, salary):
        callback = BiasEvaluationCallback(salary, every_steps=2, budget={"salary": 1.0})
        trainer = make(model, tokenizer, rows, callback)
        with pytest.raises(ValueError, match=r"bias of task 'salary' before training is unknown.*unparsed: 100%"):
            trainer.train()
        assert trainer.state.global_step == 0

    def test_added_later_it_works_as_well(self, model, tokenizer, rows, hiring):
        trainer = make(model, tokenizer, rows)
        trainer.add_callback(BiasEvaluationCallback(hiring, every_steps=3))
        trainer.train()
        assert list(logged(trainer)) == [0, 3, 6]


@pytest.mark.slow
class TestProcesses:
    @pytest.fixture(autouse=True)
    def _inputs(self, model, tokenizer, rows, files):
        model.save_pretrained("model")
        tokenizer.save_pretrained("model")
        rows.select([0, 1, 2, 3] * 4).save_to_disk("data")
        for name in ("source", "jobs"):
            shutil.copy(files[name].path, ".")

    def values(self, out):
        history = json.loads(Path(out, "state.json").read_text())["log_history"]
        names = ("step", "bias/hiring", "bias_budget/hiring", "utility/salary", "eval_loss")
        return [{name: log[name] for name in names if name in log} for log in history if "bias/hiring" in log]

    # One process is tested above, and under ZeRO-2 each has the whole model, as under DDP.
    @pytest.mark.parametrize(
        ("configuration", "kind"), [launch for launch in LAUNCHES if launch.id in ("ddp", "fsdp2", "zero3")]
    )
    def test_all_stop_where_one_does(self, configuration, kind):
        settings = {"every_steps": 2, "budget": {"hiring": 0.3}}
        options = {"max_steps": 40, "optim": "adamw_torch", "learning_rate": 2e-3}
        mitigation = {"evaluation": settings, "alignment": {"discrepancy": "mean"}}
        train_alone("one", mitigation, **options)
        launch(configuration, "started", mitigation, **options)
        assert Path("started/kind.txt").read_text() == kind
        assert self.values("started") == self.values("one")
        assert 2 < self.values("one")[-1]["step"] < 40
        for name, weight in weights("one").items():
            torch.testing.assert_close(weights("started")[name], weight, rtol=1e-3, atol=1e-5)

    def test_the_first_decides_if_they_disagree(self):
        settings = {"every_steps": 1, "budget": {"hiring": 0.3}, "unlike": True}
        launch("ddp", "started", {"evaluation": settings}, max_steps=3, learning_rate=1e-6)
        assert [value["step"] for value in self.values("started")] == [0, 1, 2, 3]
        assert {value["bias/hiring"] for value in self.values("started")} == {0}
        assert len(logs("started")) == 3
