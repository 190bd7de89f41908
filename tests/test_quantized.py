"""Quantised LoRA: the mitigations act on a model whose weights are in four bits."""

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from mitigate.callbacks import AlignmentLossCallback, MitigationCallback
from tests.test_mitigation_callback import expected, train

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install bitsandbytes")


@pytest.fixture
def quantized(model):
    # Four bits are stored in blocks of 64 weights.
    sizes = {"hidden_size": 64, "intermediate_size": 128}
    LlamaForCausalLM(LlamaConfig(**{**model.config.to_dict(), **sizes, "head_dim": 32})).save_pretrained("model")

    def load():
        four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
        return AutoModelForCausalLM.from_pretrained("model", quantization_config=four_bits)

    return load


def run(model, tokenizer, *callbacks):
    torch.manual_seed(0)
    adapter = {"peft_config": LoraConfig(target_modules=["q_proj", "v_proj"], r=2, init_lora_weights=False)}
    return train("text", model, tokenizer, *callbacks, trainer=adapter, learning_rate=1e-2, max_grad_norm=0)


def adapters(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])


def test_rows_are_tagged_and_masked(quantized, tokenizer):
    _, recorder = run(quantized(), tokenizer, MitigationCallback(token=True, mask="gender", loss="mean"))
    assert recorder.texts(tokenizer) == expected("text", "all")


def test_the_loss_reaches_the_adapters(quantized, tokenizer):
    with_term, _ = run(quantized(), tokenizer, AlignmentLossCallback(10.0, discrepancy="mean"))
    again, _ = run(quantized(), tokenizer, AlignmentLossCallback(10.0, discrepancy="mean"))
    without, _ = run(quantized(), tokenizer, AlignmentLossCallback(0.0, discrepancy="mean"))
    assert torch.equal(adapters(with_term), adapters(again))
    assert not torch.equal(adapters(with_term), adapters(without))
