"""Tiny models and data, built in memory; no test needs a network, an account or a GPU."""

import gc
import os

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
)

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

WORDS = ["she", "he", "nurse", "doctor", "writes", "cures", "well", "today", "the", "a", "Mary", "John", ":", "answer"]
SPECIAL = ["<pad>", "<unk>", "<eos>", "<mask>"]


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """Every test starts from one seed, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    # Where an earlier test has used W&B in this process, what a script logs would go to that one's service, and be
    # written some time after the script has ended.
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    torch.set_num_threads(1)
    set_seed(0)
    # Every trainer collects garbage when it is done, which takes six times as long as a tiny training if all that was
    # ever imported is looked through.
    gc.collect()
    gc.freeze()


def make_tokenizer():
    """Make a word-level tokenizer without a tag, whose vocabulary is `WORDS`."""
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(["pad_token", "unk_token", "eos_token", "mask_token"], SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def make_model(tokenizer, **sizes):
    """Make a two-layer Llama of width 16, without dropout."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            **{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, **sizes},
            num_attention_heads=2,
            num_key_value_heads=2,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def make_dataset():
    """Make sixteen rows, every other one augmented."""
    texts = [
        " ".join(["she" if i % 3 else "he", "writes" if i % 2 else "cures", *["well"] * (i % 4), "today"])
        for i in range(16)
    ]
    return Dataset.from_dict({"text": texts, "augmented": [i % 2 == 0 for i in range(16)]})


@pytest.fixture
def tokenizer():
    return make_tokenizer()


@pytest.fixture
def model(tokenizer):
    return make_model(tokenizer)


@pytest.fixture
def dataset():
    return make_dataset()
