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
# With tokens of several characters, of one and a part of another, and of parts.
CHINESE_CORPUS = [
    "他说其他人尤其喜欢她的妈妈，他们在美国和发展中国家工作。",
    "她说，吉他是他妈妈的；男女同学、女儿和儿子都去了上海地铁站。",
    "He said 他是American人, and she 去了US。",
    "他说她说他们她们他的她的其他其中中国美国国家人家妈妈爸爸女人男人女儿儿子尤其",
] * 4


def byte_level_bpe(*, chinese: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3 and Qwen: characters beyond the corpus are spread over tokens of one byte."""
    return _fast(_byte_level(chinese), "<pad>", "<eos>", "<mask>")


def metaspace_bpe(*, chinese: bool = False) -> PreTrainedTokenizerFast:
    """As Llama 2 and Gemma: spaces are `▁`, other characters beyond the corpus are tokens such as `<0xE2>`."""
    return _fast(_metaspace("bpe", chinese), "<pad>", "<eos>", "<mask>", "<unk>")


def metaspace_unigram(*, chinese: bool = False) -> PreTrainedTokenizerFast:
    """As T5 or ALBERT, with byte fallback."""
    return _fast(_metaspace("unigram", chinese), "<pad>", "<eos>", "<mask>", "<unk>")


def word_piece(*, lowercase: bool = False, chinese: bool = False) -> PreTrainedTokenizerFast:
    """As BERT: the inner pieces of a word start with `##`, and Chinese characters are words."""
    return _fast(_word_piece(lowercase, chinese), "<pad>", "<eos>", "<mask>", "<unk>")


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
def _byte_level(chinese: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL[:3], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(chinese), trainer)
    return tokenizer


@cache
def _metaspace(kind: str, chinese: bool) -> Tokenizer:
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>") if kind == "bpe" else models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    if kind == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL + fallback, show_progress=False)
    else:
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=SPECIAL + fallback, unk_token="<unk>", show_progress=False
        )
    trained.train_from_iterator(_corpus(chinese), trainer)
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
def _word_piece(lowercase: bool, chinese: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    alphabet = " ".join(letter * 2 for letter in string.ascii_letters)  # every letter first and inside a word
    tokenizer.train_from_iterator([*_corpus(chinese), alphabet], trainer)
    return tokenizer


def _corpus(chinese: bool) -> list[str]:
    return CHINESE_CORPUS if chinese else CORPUS


# By kind, what builds a tokenizer of it whose vocabulary suits any English text.
KINDS = {
    "byte_level_bpe": byte_level_bpe,
    "metaspace_bpe": metaspace_bpe,
    "metaspace_unigram": metaspace_unigram,
    "word_piece": word_piece,
    "word_piece_lowercase": lambda: word_piece(lowercase=True),
}
