"""The model that the cells of a sweep start from: one of the user's, or a small one trained from scratch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    set_seed,
)

from mitigate.files import complete_folder
from mitigate.recipes.arguments import ModelArguments
from mitigate.recipes.config import ConfigError
from mitigate.recipes.training import FitSettings, as_turns, fit_language_model
from mitigate.vocabulary import fit_embeddings

logger = logging.getLogger(__name__)

# A base model of a sweep of tasks is asked in turns, as chat models are, so that a tiny run takes their path.
_CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
_ROLES = ["<user>", "<assistant>"]
_SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<eos>", "mask_token": "<mask>"}


def train_base(
    folder: Path,
    corpus: Dataset,
    words: list[str] | None,
    model: ModelArguments,
    seed: int,
    *,
    completion_only_loss: bool,
    chat: bool = False,
) -> None:
    """
    Train a small tokenizer and causal language model from scratch, unless the folder holds them.

    Args:
        folder (`Path`):
            Where to save them. It appears when both are complete.
        corpus (`Dataset`):
            Rows with `prompt` and `completion`.
        words (`list[str]`, *optional*):
            The vocabulary, one token a word. By default a byte-level vocabulary is learned from the corpus.
        model (`ModelArguments`):
            Sizes and training settings.
        seed (`int`):
            Seed of the initial weights and of the order of rows.
        completion_only_loss (`bool`):
            Whether the prompt is left out of the loss. Where prompts are real text, they are the only text there is to
            learn the language from.
        chat (`bool`, *optional*, defaults to `False`):
            Whether the tokenizer gets a chat template, and the rows are turns.
    """
    if folder.is_dir():
        return
    tokenizer = _word_tokenizer(words) if words is not None else _byte_tokenizer(corpus, model.vocabulary_size)
    rows = corpus.select_columns(["prompt", "completion"])
    if chat:
        tokenizer.add_special_tokens({"extra_special_tokens": _ROLES})
        tokenizer.chat_template = _CHAT_TEMPLATE
        rows = rows.map(as_turns)
    set_seed(seed)
    network = LlamaForCausalLM(_small_config(tokenizer, model))
    fit_language_model(
        network,
        tokenizer,
        rows,
        FitSettings(folder.parent, seed, model.base_epochs, model.base_learning_rate, model.base_batch_size),
        completion_only_loss=completion_only_loss,
    )
    with complete_folder(folder) as unfinished:
        network.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)


def check_model(arguments: ModelArguments) -> None:
    """
    Look whether the model that is named can be found, without loading its weights.

    Args:
        arguments (`ModelArguments`):
            The model, if any, its revision, and whether code that comes with it may run.

    Raises:
        ConfigError: If its configuration or tokenizer cannot be loaded.
    """
    if arguments.model is None:
        return
    # Of what can only be a path, transformers says that it is no id.
    if arguments.model.startswith(("/", "./", "../", "~")) and not Path(arguments.model).is_dir():
        raise ConfigError(f"`model`: there is no folder {arguments.model}.")
    try:
        for part in (AutoConfig, AutoTokenizer):
            part.from_pretrained(arguments.model, **_source_options(arguments))
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"`model`: {arguments.model} cannot be loaded: {reason}") from error


def load_model(
    source: str, arguments: ModelArguments, labels: list[str] | None, *, device_map: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    Load a model and its tokenizer.

    Args:
        source (`str`):
            Folder or Hub id.
        arguments (`ModelArguments`):
            Architecture, revision, and whether code that comes with the model may run.
        labels (`list[str]`, *optional*):
            Labels of a classifier.
        device_map (`str`, *optional*):
            `"auto"` puts the model on all GPUs together, and what they cannot hold in host memory.

    Returns:
        `tuple[PreTrainedModel, PreTrainedTokenizerBase]`: Both, the tokenizer with a padding token.
    """
    options = _source_options(arguments)
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    options |= {"use_safetensors": True, "device_map": device_map}
    if not arguments.lora:
        # Steps of fine-tuning are small, and bfloat16 weights round most of them away.
        options["dtype"] = torch.float32
    if arguments.architecture == "causal":
        return AutoModelForCausalLM.from_pretrained(source, **options), tokenizer
    assert labels is not None
    options |= {"num_labels": len(labels), "label2id": {label: i for i, label in enumerate(labels)}}
    options["id2label"] = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(source, **options)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def load_trained(
    source: str, folder: Path, arguments: ModelArguments, labels: list[str] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    Load what a trainer has saved.

    Args:
        source (`str`):
            Folder or Hub id of the model that training started from.
        folder (`Path`):
            Where the trainer has saved the model, or its adapters.
        arguments (`ModelArguments`):
            Architecture, and whether there are adapters.
        labels (`list[str]`, *optional*):
            Labels of a classifier.

    Returns:
        `tuple[PreTrainedModel, PreTrainedTokenizerBase]`: Both, with adapters merged, on all GPUs together.
    """
    if not arguments.lora:
        return load_model(str(folder), arguments, labels, device_map="auto")
    model, _ = load_model(source, arguments, labels, device_map="auto")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    fit_embeddings(model, tokenizer)  # for the tokens that a mitigation added; the adapters hold their weights
    merged = PeftModel.from_pretrained(model, folder).merge_and_unload()
    return cast(PreTrainedModel, merged), tokenizer


def _source_options(arguments: ModelArguments) -> dict[str, Any]:
    # A folder, such as one of what was trained, has no revisions, and transformers does not ask it for one.
    revision = {"revision": arguments.model_revision} if arguments.model_revision else {}
    return {"trust_remote_code": arguments.trust_remote_code, **revision}


def _small_config(tokenizer: PreTrainedTokenizerBase, arguments: ModelArguments) -> LlamaConfig:
    heads = max(1, arguments.hidden_size // 16)
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.hidden_size,
        intermediate_size=2 * arguments.hidden_size,
        num_hidden_layers=arguments.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )


def _word_tokenizer(words: list[str]) -> PreTrainedTokenizerBase:
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL.values(), *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=_SPECIAL["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _wrap(backend)


def _byte_tokenizer(corpus: Dataset, size: int) -> PreTrainedTokenizerBase:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(_SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (p + c for p, c in zip(corpus["prompt"], corpus["completion"], strict=True))
    backend.train_from_iterator(texts, trainer)
    return _wrap(backend)


def _wrap(backend: Tokenizer) -> PreTrainedTokenizerBase:
    wrapped: PreTrainedTokenizerBase = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, **_SPECIAL
    )
    return wrapped
