"""Down-weighting, in real trainers: the loss of a step is the weighted mean over its items, computed by hand."""

import copy

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from torch.nn.functional import cross_entropy
from transformers import DataCollatorForSeq2Seq, LlamaForSequenceClassification, Trainer, TrainingArguments
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from mitigate import BiasTagTokenizer
from mitigate.callbacks import DownWeightCallback, MitigationCallback
from tests.test_alignment import GradientRecorder, assert_same
from tests.test_mitigation_callback import FLAGS, FORMATS, SENTENCES, hooks, make_trainer, rows

WEIGHT = 0.3
# Of the second half three rows are augmented, so that half-steps have other weights than the step.
TEXTS, MARKS = [*SENTENCES, *SENTENCES[::-1]], [*FLAGS, True, True, False, True]


def trained(form, model, tokenizer, *callbacks, data=None, **config):
    """A trainer after one step over eight rows, in float64, and the gradients of that step."""
    recorder = GradientRecorder()
    data = rows(form, tokenizer, TEXTS, MARKS) if data is None else data
    settings = {"per_device_train_batch_size": 8, "max_grad_norm": 0, **config}
    trainer = make_trainer(form, copy.deepcopy(model).double(), tokenizer, *callbacks, recorder, data=data, **settings)
    if form == "classifier":
        trainer.model.load_state_dict(classifier(model).state_dict())
        trainer.model.double()
    trainer.train()
    return trainer, recorder.gradients


def classifier(model):
    torch.manual_seed(1)
    return LlamaForSequenceClassification(model.config)


def loss_by_hand(model, items, weight=WEIGHT):
    """Of (ids, labels, augmented), row by row; the label of a class is one number."""
    total, weights = 0.0, 0.0
    for ids, labels, augmented in items:
        logits = model(input_ids=torch.tensor([ids])).logits
        w = weight if augmented else 1.0
        if isinstance(labels, int):
            losses = cross_entropy(logits, torch.tensor([labels]), reduction="none")
        else:
            counted = [place for place in range(1, len(ids)) if labels[place] != -100]
            target = torch.tensor([labels[place] for place in counted], dtype=torch.long)
            losses = cross_entropy(logits[0, [place - 1 for place in counted]], target, reduction="none")
        total = total + w * losses.sum()
        weights += w * len(losses)
    return total / weights


def by_hand(form, model, trainer, weight=WEIGHT):
    """Loss and gradients of the step, from the rows as the trainer prepared them."""
    model = (classifier(model) if form == "classifier" else copy.deepcopy(model)).double()
    data = trainer.train_dataset
    labels = data["label"] if form == "classifier" else data["labels"] if "labels" in data.column_names else None
    labels = data["input_ids"] if labels is None else labels
    loss = loss_by_hand(model, zip(data["input_ids"], labels, MARKS, strict=True), weight)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


class TestLoss:
    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("accumulated", [1, 2, 4])
    def test_it_is_the_weighted_mean_over_the_step_whatever_its_micro_batches(
        self, model, tokenizer, form, accumulated
    ):
        split = {"per_device_train_batch_size": 8 // accumulated, "gradient_accumulation_steps": accumulated}
        trainer, gradients = trained(form, model, tokenizer, DownWeightCallback(WEIGHT), **split)
        loss, expected = by_hand(form, model, trainer)
        assert_same(gradients, expected)
        assert trainer.state.log_history[0]["loss"] == pytest.approx(loss, abs=1e-4)  # logged with four digits

    def test_the_callback_of_all_mitigations_has_it_too(self, model, tokenizer):
        trainer, gradients = trained("prompt", model, tokenizer, MitigationCallback(augmented_weight=WEIGHT))
        assert_same(gradients, by_hand("prompt", model, trainer)[1])

    def test_it_differs_from_the_loss_without_it(self, model, tokenizer):
        weighted, plain = (
            trained("text", model, tokenizer, *callbacks)[1] for callbacks in ([DownWeightCallback()], [])
        )
        assert not torch.allclose(weighted["lm_head.weight"], plain["lm_head.weight"], rtol=1e-2)

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_weight_of_one_is_training_without_it(self, model, tokenizer, form):
        with_it, without = (
            trained(form, model, tokenizer, *callbacks)[1] for callbacks in ([DownWeightCallback(1)], [])
        )
        if form in ("causal", "classifier"):  # computed by other kernels
            assert_same(with_it, without)
        else:
            assert all(torch.equal(with_it[name], without[name]) for name in without)

    @pytest.mark.parametrize("accumulated", [1, 2])
    def test_a_weight_of_zero_is_training_on_rows_without_labels(self, model, tokenizer, accumulated):
        ids = [tokenizer(text)["input_ids"] for text in TEXTS]
        flags = {"augmented": MARKS}
        kept = Dataset.from_dict({"input_ids": ids, "labels": ids, **flags})
        silent = [[-100] * len(i) if flag else i for i, flag in zip(ids, MARKS, strict=True)]
        silent = Dataset.from_dict({"input_ids": ids, "labels": silent})
        gradients = []
        for data, callbacks in ((kept, [DownWeightCallback(0)]), (silent, [])):
            recorder = GradientRecorder()
            settings = TrainingArguments(
                "out", report_to=[], max_steps=1, max_grad_norm=0, use_cpu=True, save_strategy="no",
                train_sampling_strategy="sequential", per_device_train_batch_size=8 // accumulated,
                gradient_accumulation_steps=accumulated,
            )  # fmt: skip
            trainer = Trainer(
                copy.deepcopy(model).double(), settings, train_dataset=data, processing_class=tokenizer,
                data_collator=DataCollatorForSeq2Seq(tokenizer), callbacks=[*callbacks, recorder],
            )  # fmt: skip
            trainer.train()
            gradients.append(recorder.gradients)
        assert_same(*gradients)

    def test_a_step_without_any_weight_changes_nothing(self, model, tokenizer):
        settings = {"per_device_train_batch_size": 1, "max_steps": 1}
        for form in ("text", "causal"):
            trainer, gradients = trained(form, model, tokenizer, DownWeightCallback(0), **settings)
            assert trainer.state.log_history[0]["loss"] == 0
            assert not any(gradient.any() for gradient in gradients.values())

    def test_each_micro_batch_has_its_own_mean_where_the_trainer_counts_none(self, model, tokenizer, monkeypatch):
        monkeypatch.setattr(type(model), "accepts_loss_kwargs", False, raising=False)
        split = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
        trainer, gradients = trained("text", model, tokenizer, DownWeightCallback(WEIGHT), **split)
        reference, data = copy.deepcopy(model).double(), trainer.train_dataset
        items = list(zip(data["input_ids"], data["labels"], MARKS, strict=True))
        (sum(loss_by_hand(reference, half) for half in (items[:4], items[4:])) / 2).backward()
        assert_same(gradients, {name: p.grad for name, p in reference.named_parameters()})

    def test_lora_adapters_get_the_gradients_of_the_weighted_mean(self, model, tokenizer):
        adapters = {"peft_config": LoraConfig(r=2, init_lora_weights=False)}
        settings = {"trainer": adapters, "learning_rate": 0.0}
        trainer, gradients = trained("text", model, tokenizer, DownWeightCallback(WEIGHT), **settings)
        data = trainer.train_dataset
        trainer.model.zero_grad()
        loss_by_hand(trainer.model, zip(data["input_ids"], data["labels"], MARKS, strict=True)).backward()
        assert gradients
        assert_same(gradients, {name: p.grad for name, p in trainer.model.named_parameters() if p.requires_grad})

    @pytest.mark.parametrize(
        "packed", [{"packing": True, "max_length": 24}, {"padding_free": True, "max_length": None}]
    )
    def test_the_segments_of_packed_rows_are_weighted_by_their_own_marks(self, model, tokenizer, packed):
        hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        data = hidden.tag(rows("text", hidden, TEXTS, MARKS))
        _, gradients = trained("text", model, hidden, DownWeightCallback(WEIGHT), data=data, **packed)
        plain = trained("text", model, tokenizer)[0]
        assert_same(gradients, by_hand("text", model, plain)[1])


class TestBesideOthers:
    def test_the_alignment_loss_gets_its_rows_too(self, model, tokenizer):
        both = MitigationCallback(loss="mean", loss_weight=0.5, augmented_weight=WEIGHT)
        trainer, gradients = trained("text", model, tokenizer, both)
        term = trained("text", model, tokenizer, MitigationCallback(loss="mean", loss_weight=0.5))[1]
        plain = trained("text", model, tokenizer)[1]
        weighted = trained("text", model, tokenizer, DownWeightCallback(WEIGHT))[1]
        assert "alignment/mean" in trainer.state.log_history[0]
        assert_same(gradients, {name: weighted[name] + term[name] - plain[name] for name in plain})

    @pytest.mark.parametrize("form", FORMATS)
    def test_evaluation_is_that_of_a_trainer_without_it(self, model, tokenizer, form):
        evaluation = rows(form, tokenizer, flags=None)
        settings = {"evaluation": evaluation, "eval_strategy": "steps", "eval_steps": 1, "max_steps": 2}
        trainer = make_trainer(form, model, tokenizer, DownWeightCallback(WEIGHT), **settings)
        trainer.train()
        plain = make_trainer(form, model, tokenizer, evaluation=evaluation)
        plain.model = trainer.model
        expected = pytest.approx(plain.evaluate()["eval_loss"], rel=1e-6)
        assert trainer.evaluate()["eval_loss"] == expected
        assert [log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log][-1] == expected

    @pytest.mark.parametrize("form", ["text", "classifier"])
    def test_no_hook_is_left_on_the_model_and_it_can_train_again(self, model, tokenizer, form):
        trainer = make_trainer(form, model, tokenizer, DownWeightCallback(WEIGHT))
        before = hooks(trainer.model)
        trainer.train()
        assert hooks(trainer.model) == before
        trainer.train()
        assert hooks(trainer.model) == before


class OwnLoss(SFTTrainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch) * 2


class TestRefusals:
    @pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
    def test_a_weight_out_of_range(self, weight):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], got {weight}: real rows have 1"):
            DownWeightCallback(weight)

    def test_trainers_of_preferences(self, model, tokenizer):
        pairs = {"prompt": ["she"], "chosen": [" writes"], "rejected": [" cures"], "augmented": [True]}
        settings = DPOConfig("out", report_to=[], use_cpu=True, bf16=False)
        with pytest.raises(ValueError, match=r"`DPOTrainer` computes a loss of its own.*Leave it out"):
            DPOTrainer(
                model,
                args=settings,
                train_dataset=Dataset.from_dict(pairs),
                processing_class=tokenizer,
                callbacks=[DownWeightCallback()],
            )

    def test_trainers_with_a_loss_of_their_own(self, model, tokenizer):
        with pytest.raises(ValueError, match="`OwnLoss` computes a loss of its own"):
            OwnLoss(
                model,
                SFTConfig("out", report_to=[], use_cpu=True, bf16=False),
                train_dataset=rows("text", tokenizer),
                processing_class=tokenizer,
                callbacks=[DownWeightCallback()],
            )

    @pytest.mark.parametrize(
        ("form", "settings", "message"),
        [
            ("text", {"loss_type": "dft"}, "`loss_type='dft'` asks for another loss"),
            ("text", {"label_smoothing_factor": 0.1}, "`label_smoothing_factor=0.1` asks for another loss"),
            ("causal", {"label_smoothing_factor": 0.1}, "`label_smoothing_factor=0.1` asks for another loss"),
            ("causal", {"trainer": {"compute_loss_func": print}}, "`compute_loss_func` asks for another loss"),
        ],
    )
    def test_other_losses(self, model, tokenizer, form, settings, message):
        with pytest.raises(ValueError, match=message):
            make_trainer(form, model, tokenizer, DownWeightCallback(), **settings)

    def test_two_of_them(self, model, tokenizer):
        with pytest.raises(ValueError, match="Two callbacks weight the rows of one trainer"):
            make_trainer("text", model, tokenizer, DownWeightCallback(), MitigationCallback(augmented_weight=0.5))

    def test_models_of_another_loss(self, model, tokenizer):
        model.config.problem_type = "regression"
        with pytest.raises(ValueError, match="the loss of `LlamaForSequenceClassification` is not the cross-entropy"):
            make_trainer("classifier", model, tokenizer, DownWeightCallback()).train()

    def test_rows_without_both_sides(self, model, tokenizer):
        with pytest.raises(ValueError, match="No augmented row among the 4 training rows"):
            data = rows("text", tokenizer, flags=[False] * 4)
            make_trainer("text", model, tokenizer, DownWeightCallback(), data=data).train()
