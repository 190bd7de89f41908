"""The alignment loss, in real trainers: its gradients are those of an explicit loss term."""

import copy

import pytest
import torch
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from mitigate.alignment import DISCREPANCIES, get_discrepancy
from mitigate.callbacks import AlignmentLossCallback
from mitigate.callbacks.host import calling_trainer

WEIGHT = 0.7


class GradientRecorder(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step == 0:
            self.gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def pooled(hidden, keep):
    return torch.stack([row[tokens.bool()].mean(dim=0) for row, tokens in zip(hidden, keep, strict=True)])


def explicit_term(name):
    """The term by hand, given the final hidden states."""

    def term(hidden_states, inputs, augmented):
        rows = pooled(hidden_states[-1], inputs["attention_mask"])
        return get_discrepancy(name)(rows[~augmented], rows[augmented])

    return term


class ExplicitTrainer(SFTTrainer):
    """Adds the term to the loss by hand, the slow and obvious way: a second forward pass."""

    term = None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        augmented = inputs.pop("augmented")
        loss = super().compute_loss(model, dict(inputs), return_outputs, num_items_in_batch)
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        hidden_states = model(**given, output_hidden_states=True).hidden_states
        term = self.term(hidden_states, inputs, augmented)
        return loss + WEIGHT * term / self.current_gradient_accumulation_steps


def keep_provenance(collator):
    def collate(rows):
        flags = torch.tensor([row["augmented"] for row in rows])
        return {**collator(rows), "augmented": flags}

    return collate


def gradients(model, tokenizer, dataset, *, callbacks=(), explicit=None, peft_config=None, **config):
    recorder = GradientRecorder()
    settings = {"per_device_train_batch_size": 8, "activation_checkpointing": False, **config}
    args = SFTConfig(
        output_dir="out", report_to=[], max_steps=1, save_strategy="no", use_cpu=True, max_grad_norm=0, bf16=False,
        shuffle_dataset=False, disable_tqdm=True, train_sampling_strategy="sequential", **settings,
    )  # fmt: skip
    kind = SFTTrainer
    if explicit:
        kind, args.remove_unused_columns = ExplicitTrainer, False
        kind.term = staticmethod(explicit_term(explicit) if isinstance(explicit, str) else explicit)
    trainer = kind(
        copy.deepcopy(model).double(),  # in float32 the two sums differ by more than 1e-5
        args,
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[*callbacks, recorder],
        peft_config=peft_config,
    )
    if explicit:
        trainer.data_collator = keep_provenance(trainer.data_collator)
    trainer.train()
    assert any(gradient.abs().max() > 0 for gradient in recorder.gradients.values())
    return recorder.gradients


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=5e-8, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", DISCREPANCIES)
@pytest.mark.parametrize(
    "config",
    [{}, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, {"activation_checkpointing": True}],
    ids=["plain", "accumulation", "checkpointing"],
)
def test_gradients_equal_those_of_an_explicit_term(model, tokenizer, dataset, name, config):
    callback = AlignmentLossCallback(weight=WEIGHT, discrepancy=name)
    ours = gradients(model, tokenizer, dataset, callbacks=[callback], **config)
    assert_same(ours, gradients(model, tokenizer, dataset, explicit=name, **config))


def test_gradients_equal_those_of_an_explicit_term_with_lora(model, tokenizer, dataset):
    # Both LoRA factors must be non-zero, else one of the two gradients vanishes.
    lora = LoraConfig(target_modules=["q_proj", "v_proj"], r=2, init_lora_weights=False)
    torch.manual_seed(0)
    ours = gradients(model, tokenizer, dataset, callbacks=[AlignmentLossCallback(WEIGHT)], peft_config=lora)
    torch.manual_seed(0)
    assert_same(ours, gradients(model, tokenizer, dataset, explicit="mmd", peft_config=lora))
    assert all("lora" in name for name in ours)


def test_the_term_changes_the_gradients(model, tokenizer, dataset):
    ours = gradients(model, tokenizer, dataset, callbacks=[AlignmentLossCallback(WEIGHT)])
    without = gradients(model, tokenizer, dataset)
    assert any(not torch.allclose(ours[name], without[name], rtol=1e-2) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "trainings"),
    [
        ({}, [None, {"layer": 1}, {"relative": True, "bank_size": 4}, None]),
        ({"activation_checkpointing": True}, [{}, {"layer": 1}]),
    ],
    ids=["plain", "checkpointing"],
)
def test_a_compiled_model_has_the_same_gradients_one_training_after_another(
    model, tokenizer, dataset, config, trainings
):
    compiled = {**config, "torch_compile": True, "torch_compile_backend": "aot_eager"}
    for options in trainings:
        results = [
            gradients(
                model,
                tokenizer,
                dataset,
                callbacks=[] if options is None else [AlignmentLossCallback(WEIGHT, **options)],
                **how,
            )
            for how in (config, compiled)
        ]
        assert_same(*results)


class LossScale(TrainerCallback):
    """Scales the loss as in fp16 training on a GPU; on the CPU, accelerate does not."""

    def on_init_end(self, args, state, control, **kwargs):
        calling_trainer().accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)


@pytest.mark.parametrize("options", [{}, {"relative": True}], ids=["plain", "relative"])
def test_the_term_is_scaled_as_the_loss_is(model, tokenizer, dataset, options):
    callbacks = [AlignmentLossCallback(WEIGHT, **options)]
    scaled = gradients(model, tokenizer, dataset, callbacks=[LossScale(), *callbacks])
    ours = gradients(model, tokenizer, dataset, callbacks=[AlignmentLossCallback(WEIGHT, **options)])
    assert_same({name: gradient / 1024 for name, gradient in scaled.items()}, ours)


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_a_term_linear_in_the_rows_does_not_depend_on_the_accumulation(model, tokenizer, dataset, steps):
    def difference(real, augmented):
        return (real.mean(dim=0) - augmented.mean(dim=0)).sum()

    def run(batch_size, steps):
        config = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": steps}
        callback = AlignmentLossCallback(WEIGHT, discrepancy=difference)
        return gradients(model, tokenizer, dataset, callbacks=[callback], **config)

    assert_same(run(16 // steps, steps), run(16, 1))
