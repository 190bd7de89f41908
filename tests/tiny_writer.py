"""A tiny language model that was taught to write sentences which tell no group, for a real server to serve."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from tests.endpoints import PLACES, THINGS, TIMES, VERBS

SPECIAL = ["<pad>", "<unk>", "<eos>", "<answer>"]
SUBJECTS = ["This person", "Often the person", "They say the person", "Here the person", "Now the person"]
SLOTS = [SUBJECTS, VERBS, THINGS, PLACES, [f"{time}." for time in TIMES]]
VOCABULARY = list(dict.fromkeys(word for slot in SLOTS for phrase in slot for word in phrase.split()))
TEMPLATE = (
    "{% for message in messages %}{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
)


def write_model(folder: str | Path, *, steps: int = 400) -> None:
    """
    Train a Llama with two layers of width 64 for some seconds, and save it with its tokenizer.

    It has seen prompts of random words, and so pays no attention to what a prompt says.
    """
    set_seed(0)
    tokenizer = _tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )
    draw = random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = model(**_batch(tokenizer, draw)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.generation_config.do_sample = True  # `transformers serve` takes the likeliest tokens otherwise
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + VOCABULARY)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(["pad_token", "unk_token", "eos_token"], SPECIAL, strict=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, extra_special_tokens=["<answer>"], chat_template=TEMPLATE, **names
    )


def _batch(tokenizer: PreTrainedTokenizerFast, draw: random.Random, rows: int = 8) -> dict[str, torch.Tensor]:
    ids, labels = [], []
    for _ in range(rows):
        prompt = [draw.randrange(len(tokenizer)) for _ in range(draw.randrange(10, 110))]
        prompt = [1 if draw.random() < 0.7 or token in (0, 2, 3) else token for token in prompt]
        text = " ".join(draw.choice(slot) for _ in range(2) for slot in SLOTS)
        answer = tokenizer(f"{text} <eos>")["input_ids"]
        ids.append([*prompt, 3, *answer])
        labels.append([-100] * (len(prompt) + 1) + answer)
    longest = max(map(len, ids))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in ids]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]),
        "labels": torch.tensor([row + [-100] * (longest - len(row)) for row in labels]),
    }
