"""Options of the alignment loss: gradients are those of the same option written out by hand."""

import copy
import re

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from peft import LoraConfig
from torch import nn
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorWithFlattening,
    DataCollatorWithPadding,
    LlamaForSequenceClassification,
    Trainer,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from mitigate import BiasMaskCollator
from mitigate.alignment import get_discrepancy, mean_discrepancy
from mitigate.batches import ProvenanceCollator
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback
from mitigate.callbacks.attachment import decoder_layer
from mitigate.callbacks.rows import read_rows
from mitigate.provenance import ProvenanceSource, group_code
from mitigate.warnings import NoEffectWarning
from tests.test_alignment import WEIGHT, GradientRecorder, assert_same, gradients, keep_provenance, pooled

CHECKPOINTING = {"activation_checkpointing": True}
REENTRANT = {**CHECKPOINTING, "activation_checkpointing_kwargs": {"use_reentrant": True}}


@pytest.fixture
def pairs():
    """Eight rows of prompt and completion, every other one augmented."""
    completions = [" cures", " writes well", " writes well today", " cures well well"] * 2
    prompts = ["she", "the doctor", "a nurse today", "he"] * 2
    flags = [True, False] * 4
    return Dataset.from_dict({"prompt": prompts, "completion": completions, "augmented": flags})


def mean_of(choose, layer=-1, detach=False):
    """An explicit term: means of the chosen tokens of a layer."""

    def term(hidden_states, inputs, augmented):
        rows = pooled(hidden_states[layer], choose(inputs))
        real = rows[~augmented].detach() if detach else rows[~augmented]
        return mean_discrepancy(real, rows[augmented])

    return term


def every_token(inputs):
    return inputs["attention_mask"]


def answer(inputs):
    return inputs["labels"] != -100


def last_token(inputs):
    lengths = inputs["attention_mask"].sum(dim=1)
    return torch.arange(inputs["attention_mask"].shape[1]) == lengths[:, None] - 1


def check(model, tokenizer, data, explicit, peft_config=None, config=None, **options):
    callback = AlignmentLossCallback(WEIGHT, discrepancy="mean", **options)
    torch.manual_seed(0)
    ours = gradients(model, tokenizer, data, callbacks=[callback], peft_config=peft_config, **(config or {}))
    torch.manual_seed(0)
    assert_same(ours, gradients(model, tokenizer, data, explicit=explicit, peft_config=peft_config, **(config or {})))
    return ours


class TestPooling:
    @pytest.mark.parametrize(("pooling", "choose"), [("last", last_token), ("answer", answer)])
    def test_only_the_chosen_tokens_are_compared(self, model, tokenizer, pairs, pooling, choose):
        ours = check(model, tokenizer, pairs, mean_of(choose), pooling=pooling)
        every = gradients(model, tokenizer, pairs, explicit=mean_of(every_token))
        assert any(not torch.allclose(ours[name], every[name], rtol=1e-2) for name in ours)

    def test_a_batch_without_labels_of_tokens_is_refused(self, model, tokenizer):
        callback = AlignmentLossCallback(pooling="answer")
        with pytest.raises(ValueError, match=r"`pooling='answer'` needs .*this batch has `labels` of shape \(8,\)"):
            classifier(model, tokenizer, callback).train()


class TestLayer:
    @pytest.mark.parametrize("layer", [1, -2])
    @pytest.mark.parametrize("config", [{}, CHECKPOINTING, REENTRANT], ids=["plain", "checkpointing", "reentrant"])
    def test_the_term_acts_on_that_layer(self, model, tokenizer, dataset, layer, config):
        ours = check(model, tokenizer, dataset, mean_of(every_token, layer=1), layer=layer, config=config)
        final = gradients(model, tokenizer, dataset, explicit="mean")
        assert any(not torch.allclose(ours[name], final[name], rtol=1e-2) for name in ours)

    @pytest.mark.parametrize("layer", [2, -1])
    def test_the_last_are_the_final_hidden_states(self, model, tokenizer, dataset, layer):
        check(model, tokenizer, dataset, "mean", layer=layer)

    @pytest.mark.parametrize("config", [{}, CHECKPOINTING], ids=["plain", "checkpointing"])
    def test_with_lora(self, model, tokenizer, dataset, config):
        lora = LoraConfig(target_modules=["q_proj", "v_proj"], r=2, init_lora_weights=False)
        explicit = mean_of(every_token, layer=1)
        ours = check(model, tokenizer, dataset, explicit, peft_config=lora, config=config, layer=1)
        assert all("lora" in name for name in ours)

    @pytest.mark.parametrize("layer", [0, 3, -3])
    def test_a_layer_that_is_not_there_is_refused(self, model, tokenizer, dataset, layer):
        with pytest.raises(ValueError, match=rf"`layer` must be one of 1 to 2 or -2 to -1, .* got {layer}"):
            gradients(model, tokenizer, dataset, callbacks=[AlignmentLossCallback(layer=layer)])

    def test_lists_inside_a_layer_are_not_taken_for_layers(self, model):
        backbone = model.model
        for layer in backbone.layers:
            layer.experts = nn.ModuleList([nn.Identity(), nn.Identity()])
        assert decoder_layer(backbone, 1) is backbone.layers[0]
        backbone.others = nn.ModuleList([nn.Identity(), nn.Identity()])
        with pytest.raises(ValueError, match=r"`LlamaModel` holds 2 lists of 2 modules, where one was expected"):
            decoder_layer(backbone, 1)


class TestDirection:
    def test_real_rows_stay_where_they_are(self, model, tokenizer, dataset):
        ours = check(model, tokenizer, dataset, mean_of(every_token, detach=True), detach_real=True)
        both = gradients(model, tokenizer, dataset, explicit="mean")
        assert any(not torch.allclose(ours[name], both[name], rtol=1e-2) for name in ours)


LABELS = [0, 0, 1, 1, 0, 0, 2, 1]
FLAGS = [True, False, True, False, True, False, True, True]


class ExplicitClassifier(Trainer):
    """Compares the rows of each label, the slow and obvious way."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        augmented = inputs.pop("augmented")
        outputs = model(**inputs, output_hidden_states=True)
        rows = pooled(outputs.hidden_states[-1], inputs["attention_mask"])
        terms = []
        for label in (0, 1):  # no real row has label 2
            here = inputs["labels"] == label
            terms.append(mean_discrepancy(rows[here & ~augmented], rows[here & augmented]))
        return outputs.loss + WEIGHT * sum(terms) / 2


def classifier(model, tokenizer, *callbacks, kind=Trainer, **config):
    texts = [
        "she cures",
        "he writes",
        "she writes well",
        "he",
        "a nurse",
        "the doctor cures",
        "today",
        "he cures well",
    ]
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in texts]
    data = Dataset.from_list(rows).add_column("label", LABELS).add_column("augmented", FLAGS)
    model.config.num_labels = 3
    torch.manual_seed(0)
    settings = {
        "output_dir": "out", "report_to": [], "use_cpu": True, "max_steps": 1, "max_grad_norm": 0,
        "disable_tqdm": True, "per_device_train_batch_size": 8, "save_strategy": "no",
        "train_sampling_strategy": "sequential", "logging_steps": 1, **config,
    }  # fmt: skip
    collator = DataCollatorWithPadding(tokenizer)
    if kind is ExplicitClassifier:
        collator, settings["remove_unused_columns"] = keep_provenance(_without(collator)), False
    return kind(
        LlamaForSequenceClassification(model.config).double(),
        TrainingArguments(**settings),
        train_dataset=data,
        data_collator=collator,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def _without(collator):
    return lambda rows: collator([{key: row[key] for key in row if key != "augmented"} for row in rows])


class TestCondition:
    def test_each_label_is_aligned_by_itself(self, model, tokenizer):
        recorders = GradientRecorder(), GradientRecorder()
        callback = AlignmentLossCallback(WEIGHT, discrepancy="mean", condition="labels")
        trainer = classifier(model, tokenizer, callback, recorders[0])
        trainer.train()
        classifier(model, tokenizer, recorders[1], kind=ExplicitClassifier).train()
        assert_same(recorders[0].gradients, recorders[1].gradients)
        assert trainer.state.log_history[0]["alignment/coverage"] == 1

    def test_labels_of_tokens_are_refused(self, model, tokenizer, dataset):
        callback = AlignmentLossCallback(condition="labels")
        with pytest.raises(ValueError, match=r"`condition='labels'` needs a batch with one class a row"):
            gradients(model, tokenizer, dataset, callbacks=[callback])


class TestConditionOnAColumn:
    groups = ("cook", "cook", "smith", "smith", "cook", "cook", "smith", "baker")

    @pytest.mark.parametrize("as_values", [str, lambda group: len(group), lambda group: group == "cook"])
    def test_each_group_of_a_column_is_aligned_by_itself(self, model, tokenizer, pairs, as_values):
        groups = list(map(as_values, self.groups))

        def explicit(hidden_states, inputs, augmented):
            rows = pooled(hidden_states[-1], every_token(inputs))
            sides = [(torch.tensor([each == group for each in groups]), group) for group in dict.fromkeys(groups)]
            terms = [
                mean_discrepancy(rows[own & ~augmented], rows[own & augmented])
                for own, _ in sides
                if (own & augmented).any() and (own & ~augmented).any()
            ]
            return sum(terms) / len(terms)

        callback = AlignmentLossCallback(WEIGHT, discrepancy="mean", condition="occupation")
        data = pairs.add_column("occupation", groups)
        ours = gradients(model, tokenizer, data, callbacks=[callback])
        assert_same(ours, gradients(model, tokenizer, pairs, explicit=explicit))
        every = gradients(model, tokenizer, pairs, explicit="mean")
        assert any(not torch.allclose(ours[name], every[name], rtol=1e-2) for name in ours)

    def test_rows_for_evaluation_have_the_column_too(self, model, tokenizer, pairs):
        data = pairs.add_column("occupation", list(self.groups))
        callback = AlignmentLossCallback(discrepancy="mean", condition="occupation")
        mask = MitigationCallback(mask=["she"], loss=callback)
        trainer = SFTTrainer(
            model,
            SFTConfig("out", report_to=[], use_cpu=True, bf16=False, max_steps=1, eval_strategy="steps", eval_steps=1),
            train_dataset=data,
            eval_dataset=data,
            processing_class=tokenizer,
            callbacks=[mask],
        )
        trainer.train()
        assert any("eval_loss" in log for log in trainer.state.log_history)

    def test_beside_a_collator_that_masks(self, model, tokenizer, pairs):
        ids = [tokenizer(text).input_ids for text in pairs["prompt"]]
        data = Dataset.from_dict({"input_ids": ids, "augmented": pairs["augmented"], "job": self.groups})
        collator = BiasMaskCollator(tokenizer, ["she"])
        arguments = {"remove_unused_columns": False, "max_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
        trainer = Trainer(
            model,
            TrainingArguments("out", report_to=[], use_cpu=True, logging_steps=1, **arguments),
            train_dataset=data,
            eval_dataset=data,
            data_collator=collator,
            processing_class=tokenizer,
            callbacks=[AlignmentLossCallback(discrepancy="mean", condition="job")],
        )
        trainer.train()
        logs = {key for log in trainer.state.log_history for key in log}
        assert {"eval_loss", "alignment/mean", "provenance/masked_words"} <= logs

    @pytest.mark.parametrize("inner", ["padded", "padding-free", "preferences"])
    def test_every_kind_of_batch_tells_the_groups(self, tokenizer, inner):
        def as_row(text, flag, group):
            ids = tokenizer(text).input_ids
            preferences = {"prompt_ids": ids, "chosen_ids": [5], "rejected_ids": [6, 6]}
            texts = preferences if inner == "preferences" else {"input_ids": ids}
            return {"augmented": flag, "group": group, **texts}

        rows = [as_row("she", True, "a"), as_row("he cures well", False, "b"), as_row("a nurse", True, "b")]
        collators = {
            "padded": DataCollatorForLanguageModeling(tokenizer, mlm=False),
            "padding-free": DataCollatorWithFlattening(),
            "preferences": DataCollatorForPreference(tokenizer.pad_token_id),
        }
        collate = ProvenanceCollator(collators[inner], ProvenanceSource(), emit=True, group_column="group")
        batch = collate(rows)
        accelerator = Accelerator(cpu=True)
        read = read_rows(batch, batch["augmented"], pooling="mean", condition="group", accelerator=accelerator)
        a, b = (group_code({"group": group}, "group") for group in "ab")
        times = 2 if inner == "preferences" else 1
        assert read.groups == (a, b, b) * times
        assert read.augmented == (True, False, True) * times

    def test_a_row_without_a_group_is_refused(self, model, tokenizer, pairs):
        callback = AlignmentLossCallback(condition="occupation")
        data = pairs.add_column("occupation", [None, *self.groups[1:]])
        with pytest.raises(ValueError, match=r"Column `occupation` must tell the group of every row, .* got None"):
            gradients(model, tokenizer, data, callbacks=[callback])

    def test_a_column_that_is_not_there_is_refused_before_training(self, model, tokenizer, pairs):
        callback = AlignmentLossCallback(condition="job")
        with pytest.raises(ValueError, match="`condition='job'` is not a column of the training data set once "):
            gradients(model, tokenizer, pairs, callbacks=[callback])

    def test_a_column_that_the_model_takes_is_refused(self, model, tokenizer):
        with pytest.raises(ValueError, match=r"`condition='label'` names a column that the model is given, .*labels"):
            classifier(model, tokenizer, AlignmentLossCallback(condition="label"))


def train(model, tokenizer, data, callback, **config):
    """Logs of a run that leaves the weights as they are, unless told otherwise."""
    settings = {
        "output_dir": "out", "report_to": [], "use_cpu": True, "bf16": False, "shuffle_dataset": False,
        "max_grad_norm": 0, "disable_tqdm": True, "train_sampling_strategy": "sequential", "save_strategy": "no",
        "activation_checkpointing": False, "logging_steps": 1, "learning_rate": 0.0, **config,
    }  # fmt: skip
    trainer = SFTTrainer(
        copy.deepcopy(model),
        SFTConfig(**settings),
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[callback],
    )
    trainer.train()
    return [log for log in trainer.state.log_history if "loss" in log]


class TestBank:
    def test_single_rows_are_compared_with_those_before(self, model, tokenizer, dataset):
        past = {False: [], True: []}

        def explicit(hidden_states, inputs, augmented):
            (row,) = pooled(hidden_states[-1], inputs["attention_mask"])
            (flag,) = augmented.tolist()
            sides = {flag: [row, *past[flag]], not flag: past[not flag]}
            past[flag] = sides[flag] = [row, *(other.detach() for other in past[flag])]
            value = row.sum() * 0
            if sides[not flag]:
                value = mean_discrepancy(torch.stack(sides[False]), torch.stack(sides[True]))
            past[flag] = [other.detach() for other in past[flag]][:2]
            return value

        config = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
        check(model, tokenizer, dataset, explicit, config=config, bank_size=2)

    def test_it_makes_batches_of_one_row_act(self, model, tokenizer, dataset):
        config = {"per_device_train_batch_size": 1, "max_steps": 8}
        with_bank = train(model, tokenizer, dataset, AlignmentLossCallback(bank_size=4), **config)
        # MMD needs two rows of either kind, and the kinds alternate.
        assert [log["alignment/coverage"] for log in with_bank] == [0, 0, 0, 1, 1, 1, 1, 1]
        without = train(model, tokenizer, dataset, AlignmentLossCallback(), **config)
        assert not any(log["alignment/coverage"] for log in without)

    def test_it_is_filled_only_while_it_warms_up(self, model, tokenizer, dataset):
        config = {"per_device_train_batch_size": 1, "max_steps": 6}
        callback = AlignmentLossCallback(discrepancy="mean", bank_size=4, bank_warmup_steps=4)
        logs = train(model, tokenizer, dataset, callback, **config)
        assert [log["alignment/coverage"] for log in logs] == [0, 0, 0, 0, 1, 1]

    def test_rows_of_one_kind_with_real_ones_fixed_leave_only_augmented_batches(self, model, tokenizer, dataset):
        config = {"per_device_train_batch_size": 1, "max_steps": 6}
        callback = AlignmentLossCallback(discrepancy="mean", bank_size=4, detach_real=True)
        logs = train(model, tokenizer, dataset, callback, **config)
        assert [log["alignment/coverage"] for log in logs] == [0, 0, 1, 0, 1, 0]

    def test_who_gets_no_usable_batch_is_told_of_it(self, model, tokenizer, dataset):
        config = {"per_device_train_batch_size": 1, "max_steps": 20}
        with pytest.warns(NoEffectWarning, match="did nothing in the first 20 steps.*or `bank_size`"):
            train(model, tokenizer, dataset, AlignmentLossCallback(), **config)


class TestWarmup:
    def test_the_weight_rises_from_zero(self, model, tokenizer, dataset):
        callback = AlignmentLossCallback(0.5, weight_warmup_steps=4)
        logs = train(model, tokenizer, dataset, callback, max_steps=6)
        assert [log["alignment/weight"] for log in logs] == [0, 0.125, 0.25, 0.375, 0.5, 0.5]

    def test_at_first_the_gradients_are_those_of_the_loss(self, model, tokenizer, dataset):
        callback = AlignmentLossCallback(WEIGHT, weight_warmup_steps=3)
        assert_same(gradients(model, tokenizer, dataset, callbacks=[callback]), gradients(model, tokenizer, dataset))


class TestLogs:
    def test_new_directions_are_drawn_every_step_and_do_not_disturb_the_run(self, model, tokenizer, dataset):
        rows = dataset.select(range(8))
        logs = train(model, tokenizer, rows, AlignmentLossCallback(discrepancy="sliced_wasserstein"), max_steps=2)
        first, second = (log["alignment/sliced_wasserstein"] for log in logs)
        assert first != second == pytest.approx(first, rel=0.5)
        torch.manual_seed(0)
        drawn = torch.rand(1)
        torch.manual_seed(0)
        get_discrepancy("sliced_wasserstein")(torch.ones(2, 3), torch.ones(2, 3))
        assert torch.rand(1) == drawn

    def test_the_effective_rank_falls_when_rows_become_alike(self, model, tokenizer, dataset):
        (alive,) = train(model, tokenizer, dataset, AlignmentLossCallback(), max_steps=1)
        with torch.no_grad():
            model.model.embed_tokens.weight[:] = model.model.embed_tokens.weight[5]
        (collapsed,) = train(model, tokenizer, dataset, AlignmentLossCallback(), max_steps=1)
        assert alive["alignment/effective_rank"] > 2
        assert collapsed["alignment/effective_rank"] < 1.5

    @pytest.mark.parametrize("option", [{}, {"bank_size": 4}, {"layer": 1, "relative": True}])
    def test_low_precision_is_left_for_the_term(self, model, tokenizer, dataset, option):
        seen = []

        def distance(real, augmented):
            seen.append(real.dtype)
            return mean_discrepancy(real, augmented)

        callback = AlignmentLossCallback(discrepancy=distance, **option)
        logs = train(model.bfloat16(), tokenizer, dataset, callback, bf16=True, max_steps=2, learning_rate=1e-3)
        assert set(seen) == {torch.float32}
        assert all(0 < log["alignment/distance"] < 10 and log["grad_norm"] > 0 for log in logs)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"weight": -1}, "`weight` must be a finite number, at least 0, got -1."),
        ({"weight": float("nan")}, "`weight` must be a finite number, at least 0, got nan."),
        ({"discrepancy": "mdm"}, "Did you mean 'mmd'?"),
        (
            {"discrepancy": None},
            "`discrepancy` must be a name, such as 'mmd', or a function of two tensors, got None.",
        ),
        ({"pooling": "max"}, "`pooling` must be one of 'mean', 'last', 'answer', got 'max'."),
        ({"layer": 1.0}, "`layer` must be None (the final hidden states) or an integer, got 1.0."),
        ({"condition": 1}, "`condition` must be None, 'labels' (those of a sequence classifier) or the name of"),
        ({"bank_size": -1}, "`bank_size` must be an integer, at least 0, got -1."),
        ({"bank_size": True}, "`bank_size` must be an integer, at least 0, got True."),
        ({"weight_warmup_steps": 0.1}, "`weight_warmup_steps` must be an integer, at least 0, got 0.1."),
        ({"bank_warmup_steps": 5}, "`bank_warmup_steps=5` says from when on a bank is used, but there is none: "),
    ],
)
def test_wrong_options_are_refused(option, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AlignmentLossCallback(**option)
