"""Features of a named encoder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from mitigate.alignment import mean_pool
from mitigate.misalignment.features import Features
from mitigate.misalignment.two_sample import Rows
from mitigate.scoring import evaluation_mode

# Tokens after which a text is cut, where the model does not say less.
MAX_LENGTH = 512


def encoder_features(name: str, real: Sequence[str], augmented: Sequence[str], *, batch_size: int = 32) -> Features:
    """
    Embed the texts of both sides by one frozen encoder.

    Take one that has neither written the augmented rows nor will be trained on them. If sentence-transformers is
    installed (extra `encoders`), it loads the model and pools as the model says. Otherwise transformers loads it, and
    the last layer is averaged over the tokens of a text. Weights are read from safetensors files only, and code that
    comes with a model is never run.

    Args:
        name (`str`):
            Id on the Hub, or folder.
        real (`Sequence[str]` of length `n`):
            Real texts.
        augmented (`Sequence[str]` of length `m`):
            Augmented texts.
        batch_size (`int`, *optional*, defaults to 32):
            Texts in one forward pass.

    Returns:
        `Features`: float32, on the CPU. The description names the encoder and who pooled.

    Raises:
        ValueError: If the encoder cannot be loaded, or gives what is no finite number.
    """
    texts = [*real, *augmented]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if find_spec("sentence_transformers"):
            rows, how = _by_sentence_transformers(name, texts, batch_size, device), "by sentence-transformers"
        else:
            rows, how = _by_transformers(name, texts, batch_size, device), "mean over tokens of the last layer"
    except OSError as error:
        raise ValueError(
            f"The encoder '{name}' cannot be loaded: {str(error).splitlines()[0]} It must be a folder or an id on the "
            "Hub, with weights in safetensors files."
        ) from error
    if not np.isfinite(rows).all():
        raise ValueError(f"The encoder '{name}' gives embeddings that are no finite numbers.")
    return Features(rows[: len(real)], rows[len(real) :], f"encoder '{name}' ({how}, width {rows.shape[1]})")


def _by_sentence_transformers(name: str, texts: list[str], batch_size: int, device: str) -> Rows:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(name, device=device, model_kwargs={"use_safetensors": True})
    rows: Rows = model.encode(texts, batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False)
    return rows.astype(np.float32, copy=False)


def _by_transformers(name: str, texts: list[str], batch_size: int, device: str) -> Rows:
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModel.from_pretrained(name, use_safetensors=True).to(device)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    with evaluation_mode(model):
        return mean_embeddings(model, tokenizer, texts, batch_size=batch_size)


@torch.no_grad()
def mean_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, batch_size: int = 32
) -> Rows:
    """
    Average the last layer of a model over the tokens of each text.

    Args:
        model (`PreTrainedModel`):
            A model without head, in evaluation mode.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer, with a padding token.
        texts (`Sequence[str]` of length `n`):
            The texts.
        batch_size (`int`, *optional*, defaults to 32):
            Texts in one forward pass.

    Returns:
        `np.ndarray` of shape `(n, d)`, float32; 0 for a text without tokens.
    """
    limit = min(MAX_LENGTH, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", MAX_LENGTH))
    by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # so that little is padded
    rows = np.zeros((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(texts), batch_size):
        chosen = by_length[start : start + batch_size]
        batch = tokenizer(
            [texts[number] for number in chosen], padding=True, truncation=True, max_length=limit, return_tensors="pt"
        ).to(model.device)
        if batch["input_ids"].shape[1] == 0:
            continue
        hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        owners = torch.arange(len(chosen), device=hidden.device)[:, None]
        index = torch.where(batch["attention_mask"].bool(), owners, -1)
        rows[chosen] = mean_pool(hidden, index, len(chosen)).float().cpu().numpy()
    return rows
