"""A weight relative to the loss: the term's gradient is that share of the loss's, whatever scales either."""

import pytest
import torch
from trl import SFTConfig, SFTTrainer

from mitigate.alignment import mean_discrepancy
from mitigate.callbacks import AlignmentLossCallback
from tests.test_alignment import GradientRecorder, assert_same, keep_provenance, pooled

SHARE = 0.3


class ScaledTrainer(SFTTrainer):
    """Its loss is a thousand times as large, as with the loss scale of fp16."""

    scale = 1000

    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs) * self.scale


class ExplicitTrainer(SFTTrainer):
    """Computes both gradients with respect to the hidden states of the loss's own forward pass."""

    layer = -1

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        augmented = inputs.pop("augmented")
        module = model.model if self.layer == -1 else model.model.layers[self.layer - 1]
        seen = []
        hook = module.register_forward_hook(lambda module, args, output: seen.append(output))
        loss = super().compute_loss(model, dict(inputs), return_outputs, num_items_in_batch)
        hook.remove()
        hidden = seen[0].last_hidden_state if self.layer == -1 else seen[0]
        rows = pooled(hidden, inputs["attention_mask"])
        term = mean_discrepancy(rows[~augmented], rows[augmented])
        norms = [torch.autograd.grad(value, hidden, retain_graph=True)[0].norm() for value in (loss, term)]
        return loss + SHARE * norms[0] / norms[1] * term


def run(model, tokenizer, dataset, *callbacks, kind=SFTTrainer, **config):
    recorder = GradientRecorder()
    settings = {
        "output_dir": "out", "report_to": [], "max_steps": 1, "use_cpu": True, "max_grad_norm": 0, "bf16": False,
        "shuffle_dataset": False, "disable_tqdm": True, "train_sampling_strategy": "sequential",
        "save_strategy": "no", "activation_checkpointing": False, "logging_steps": 1, **config,
    }  # fmt: skip
    if issubclass(kind, ExplicitTrainer):
        settings["remove_unused_columns"] = False
    trainer = kind(
        type(model)(model.config).double(),
        SFTConfig(**settings),
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[*callbacks, recorder],
    )
    trainer.model.load_state_dict(model.state_dict())
    if issubclass(kind, ExplicitTrainer):
        trainer.data_collator = keep_provenance(trainer.data_collator)
    trainer.train()
    return recorder.gradients, trainer.state.log_history[0]


def ours(**options):
    return AlignmentLossCallback(SHARE, discrepancy="mean", relative=True, **options)


@pytest.mark.parametrize(
    "config",
    [{}, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, {"activation_checkpointing": True}],
    ids=["plain", "accumulation", "checkpointing"],
)
def test_the_gradient_of_the_term_is_a_share_of_that_of_the_loss(model, tokenizer, dataset, config):
    gradients, _ = run(model, tokenizer, dataset, ours(), **config)
    explicit, _ = run(model, tokenizer, dataset, kind=ExplicitTrainer, **config)
    assert_same(gradients, explicit)
    without, _ = run(model, tokenizer, dataset, **config)
    assert any(not torch.allclose(gradients[name], without[name], rtol=1e-2) for name in gradients)


def test_it_is_measured_where_the_term_acts(model, tokenizer, dataset):
    gradients, _ = run(model, tokenizer, dataset, ours(layer=1))
    kind = type("AtTheFirstLayer", (ExplicitTrainer,), {"layer": 1})
    assert_same(gradients, run(model, tokenizer, dataset, kind=kind)[0])


def test_it_follows_the_scale_of_the_loss(model, tokenizer, dataset):
    gradients, log = run(model, tokenizer, dataset, ours())
    scaled, log_of_scaled = run(model, tokenizer, dataset, ours(), kind=ScaledTrainer)
    assert_same({name: gradient / 1000 for name, gradient in scaled.items()}, gradients)
    assert log_of_scaled["alignment/weight"] == pytest.approx(1000 * log["alignment/weight"], rel=1e-6)


def test_the_weight_that_is_logged_has_the_same_effect_when_it_is_given(model, tokenizer, dataset):
    gradients, log = run(model, tokenizer, dataset, ours())
    given, _ = run(model, tokenizer, dataset, AlignmentLossCallback(log["alignment/weight"], discrepancy="mean"))
    assert_same(gradients, given)


def test_a_term_without_gradient_leaves_the_loss_as_it_is(model, tokenizer, dataset):
    same = dataset.select([0, 0]).remove_columns("augmented").add_column("augmented", [True, False])
    config = {"per_device_train_batch_size": 2}
    gradients, log = run(model, tokenizer, same, ours(), **config)
    assert_same(gradients, run(model, tokenizer, same, **config)[0])
    assert log["alignment/weight"] == 0
