"""The text that each token of a vocabulary stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tokenizers import models
from transformers import PreTrainedTokenizerBase

# A character that is no letter, digit, white space or punctuation: it ends a word, and no entry reaches over it.
BOUNDARY = "\0"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    r"""
    Put down the text that each token stands for.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A fast tokenizer: byte-level or SentencePiece-like (`▁`), with or without byte fallback; WordPiece; or
            WordLevel.

    Returns:
        `list[str]`: The texts by token id. A special token, and an id that stands for none, is `"\0"`. The bytes of a
        character that is spread over several tokens are put as `surrogateescape` does.

    Raises:
        ValueError: If the tokenizer is not a fast one, or if it is of another kind.
    """
    backend = backend_of(tokenizer)
    read = _token_reader(backend)
    vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=True)
    added = tokenizer.added_tokens_decoder
    texts = [BOUNDARY] * (max((*vocabulary.values(), *added), default=-1) + 1)
    for token, token_id in vocabulary.items():
        texts[token_id] = _decode(read(token))
    for token_id, added_token in added.items():
        # An added token is kept as plain text, also beside a vocabulary that spells out bytes.
        plain = read is _read_byte_level
        texts[token_id] = added_token.content if plain else _decode(read(added_token.content))
        if added_token.special:
            texts[token_id] = BOUNDARY
    for token_id in tokenizer.all_special_ids:
        texts[token_id] = BOUNDARY
    return texts


def backend_of(tokenizer: PreTrainedTokenizerBase) -> Any:
    """
    Return the tokenizer of the tokenizers library behind a fast tokenizer.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A fast tokenizer.

    Returns:
        `tokenizers.Tokenizer`: Its backend.

    Raises:
        ValueError: If the tokenizer is not a fast one.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"`tokenizer` must be a fast one (backed by the tokenizers library), got {type(tokenizer).__name__}. Load "
            "it with `AutoTokenizer.from_pretrained(…)`."
        )
    return backend


def normalizer_of(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
    """
    Return what a tokenizer does to text before it cuts it, with plain spaces.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A fast tokenizer.

    Returns:
        `Callable[[str], str]`: A function of text.
    """
    normalizer = backend_of(tokenizer).normalizer
    if normalizer is None:
        return lambda text: text
    return lambda text: " ".join(normalizer.normalize_str(text).replace("▁", " ").split())


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _token_reader(backend: Any) -> Callable[[str], bytes]:
    """Return the function that gives the bytes of text that a token of the vocabulary stands for."""
    parts = _parts(backend.decoder) or _parts(backend.pre_tokenizer)
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return _read_byte_level
    spaces = [part["replacement"] for part in parts if part["type"] == "Metaspace"]
    spaces += [part["pattern"].get("String") for part in parts if part["type"] == "Replace" and part["content"] == " "]
    if spaces:
        return partial(_read_metaspace, space=spaces[0])
    if isinstance(backend.model, models.WordPiece):
        return partial(_read_word_piece, prefix=backend.model.continuing_subword_prefix)
    if isinstance(backend.model, models.WordLevel):
        return _read_word
    raise ValueError(
        f"`tokenizer` is of a kind that the matcher cannot read ({type(backend.model).__name__} with decoder steps: "
        f"{', '.join(sorted(kinds)) or 'none'}): nothing tells where its words begin. Use a byte-level, "
        "SentencePiece-like, WordPiece or WordLevel tokenizer."
    )


def _parts(component: Any) -> list[dict[str, Any]]:
    """List the steps of a decoder or pre-tokenizer, which shows its settings in its pickled state only."""
    if component is None:
        return []
    state = json.loads(component.__getstate__())
    steps: list[dict[str, Any]] = state.get("decoders") or state.get("pretokenizers") or [state]
    return steps


def _byte_level_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level (GPT-2) vocabulary stands for."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_level_alphabet()


def _read_byte_level(token: str) -> bytes:
    try:
        return bytes([_BYTE_OF[character] for character in token])
    except KeyError:  # no spelt-out bytes: plain text, as the tokenizer's decoder takes it
        return token.encode()


def _read_metaspace(token: str, space: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(space, " ").encode()


def _read_word(token: str) -> bytes:
    return f" {token}".encode()


def _read_word_piece(token: str, prefix: str) -> bytes:
    return token.removeprefix(prefix).encode() if token.startswith(prefix) else _read_word(token)
