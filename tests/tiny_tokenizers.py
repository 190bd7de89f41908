"""Small real tokenizers of every kind, trained in memory on a few sentences."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<pad>", "<eos>", "<mask>", "<unk>"]
CORPUS = [
    "She said he would help her in the shell, and the other hero's hat was theirs.",
    "The United States and South Korea met in Papua New Guinea; Guinea-Bissau did not.",
    "he she him her his man woman the shell there United States South Korea",
    "São Tomé, Côte d'Ivoire and Türkiye: “she” — ‘he’ — naïve café.",
] * 4


def byte_level_bpe() -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3 and Qwen: characters beyond the corpus are spread over tokens of one byte."""
    return _fast(_byte_level(), "<pad>", "<eos>", "<mask>")


def metaspace_bpe() -> PreTrainedTokenizerFast:
    """As Llama 2 and Gemma: spaces are `▁`, other characters beyond the corpus are tokens such as `<0xE2>`."""
    return _fast(_metaspace("bpe"), "<pad>", "<eos>", "<mask>", "<unk>")


def metaspace_unigram() -> PreTrainedTokenizerFast:
    """As T5 or ALBERT, with byte fallback."""
    return _fast(_metaspace("unigram"), "<pad>", "<eos>", "<mask>", "<unk>")


def word_piece(*, lowercase: bool = False) -> PreTrainedTokenizerFast:
    """As BERT: the inner pieces of a word start with `##`."""
    return _fast(_word_piece(lowercase), "<pad>", "<eos>", "<mask>", "<unk>")


def word_level(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token a word or run of punctuation; the ids follow the special tokens in the order of `words`."""
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*SPECIAL, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return _fast(tokenizer, "<pad>", "<eos>", "<mask>", "<unk>")


def _fast(tokenizer: Tokenizer, pad: str, eos: str, mask: str, unk: str | None = None) -> PreTrainedTokenizerFast:
    # A copy, so that tests may add tokens.
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=eos, mask_token=mask, unk_token=unk
    )


@cache
def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL[:3], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


@cache
def _metaspace(kind: str) -> Tokenizer:
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>") if kind == "bpe" else models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    if kind == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL + fallback, show_progress=False)
    else:
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=SPECIAL + fallback, unk_token="<unk>", show_progress=False
        )
    trained.train_from_iterator(CORPUS, trainer)
    return _with_byte_fallback(trained, kind, fallback)


def _with_byte_fallback(trained: Tokenizer, kind: str, fallback: list[str]) -> Tokenizer:
    # The trainers cannot ask for byte fallback, and they count the byte tokens as special: rebuild.
    spec = json.loads(trained.to_str())
    spec["model"]["byte_fallback"] = True
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in fallback]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    if kind == "bpe":  # Llama 2 writes the spaces in the normalizer and reads them in the decoder
        tokenizer.pre_tokenizer = None  # type: ignore[assignment]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    else:
        tokenizer.decoder = decoders.Metaspace()
    return tokenizer


@cache
def _word_piece(lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    alphabet = " ".join(letter * 2 for letter in string.ascii_letters)  # every letter first and inside a word
    tokenizer.train_from_iterator([*CORPUS, alphabet], trainer)
    return tokenizer


# By kind, what builds a tokenizer of it whose vocabulary suits any English text.
KINDS = {
    "byte_level_bpe": byte_level_bpe,
    "metaspace_bpe": metaspace_bpe,
    "metaspace_unigram": metaspace_unigram,
    "word_piece": word_piece,
    "word_piece_lowercase": lambda: word_piece(lowercase=True),
}
