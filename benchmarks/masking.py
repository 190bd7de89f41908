"""
Measure how fast sensitive words are found in token ids, on one core.

Run it as `python benchmarks/masking.py`. It needs no download: text and tokenizer are made up, with the same share of
sensitive words whatever the length of the lexicon. All ways take turns in one run; the table gives the median over
the rounds, and the lowest and the highest.
"""

from __future__ import annotations

import importlib.util
import random
import re
import statistics
import string
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mitigate import Lexicon, MaskConfig
from mitigate.mask_steps import MaskSensitiveWords
from mitigate.matching import WordMatcher
from mitigate.provenance import Segment
from mitigate.texts import Text

Rows = list[list[int]]

ENTRIES = (100, 1_000, 10_000)
ROWS, LENGTH, BATCHES, ROUNDS = 32, 512, 8, 7
SHARE = 0.03  # of words that are sensitive


def _make_words(rng: random.Random, count: int, ending: str) -> list[str]:
    letters = string.ascii_lowercase
    words = ("".join(rng.choices(letters, k=rng.randint(2, 9))) + ending for _ in range(2 * count))
    return list(dict.fromkeys(words))[:count]


def _make_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([" ".join(words)], trainers.BpeTrainer(vocab_size=8000, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="<mask>")


def _make_batches(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> list[Rows]:
    ids = tokenizer(" ".join(words)).input_ids
    rows = [ids[start : start + LENGTH] for start in range(0, len(ids) - LENGTH, LENGTH)]
    return [rows[start : start + ROWS] for start in range(0, ROWS * BATCHES, ROWS)]


def _by_regex(tokenizer: PreTrainedTokenizerFast, words: tuple[str, ...]) -> Callable[[Rows], object]:
    pattern = re.compile(rf"\b(?:{'|'.join(sorted(words, key=len, reverse=True))})\b", re.IGNORECASE)
    return lambda rows: [[m.span() for m in pattern.finditer(text)] for text in tokenizer.batch_decode(rows)]


def _by_flashtext(tokenizer: PreTrainedTokenizerFast, words: tuple[str, ...]) -> Callable[[Rows], object]:
    from flashtext2 import KeywordProcessor

    finder = KeywordProcessor(case_sensitive=False)
    for word in words:
        finder.add_keyword(word)
    return lambda rows: [finder.extract_keywords_with_span(text) for text in tokenizer.batch_decode(rows)]


def _by_step(tokenizer: PreTrainedTokenizerFast, lexicon: Lexicon) -> Callable[[Rows], object]:
    step = MaskSensitiveWords(tokenizer, MaskConfig(lexicon))
    return lambda rows: step.edits([Text("input_ids", ids, [Segment(0, len(ids), True)], True, {}) for ids in rows], 0)


def _measure(ways: dict[str, Callable[[Rows], object]], batches: list[Rows]) -> dict[str, list[float]]:
    tokens = sum(len(ids) for rows in batches for ids in rows)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # caches and tables fill
        way(batches[0])
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            for rows in batches:
                way(rows)
            rates[name].append(tokens / (time.perf_counter() - start) / 1e6)
    return rates


def main() -> None:
    """Measure all ways, and print the table."""
    rng = random.Random(0)
    vocabulary, sensitive = _make_words(rng, 30_000, ""), _make_words(rng, max(ENTRIES), "q")
    plain = rng.choices(vocabulary, weights=[1 / (rank + 1) for rank in range(len(vocabulary))], k=150_000)
    tokenizer = _make_tokenizer(plain)
    table = Table("entries", "way", "million tokens a second", title="Sensitive words in token ids, one core")
    for count in ENTRIES:
        lexicon = Lexicon("made up", tuple(sensitive[:count]))
        text = [rng.choice(lexicon.words) if rng.random() < SHARE else word for word in plain]
        ways = {
            "WordMatcher.find_all": WordMatcher(tokenizer, lexicon).find_all,
            "the masking step, with its edits": _by_step(tokenizer, lexicon),
        }
        if importlib.util.find_spec("flashtext2"):
            ways["decode, then flashtext2"] = _by_flashtext(tokenizer, lexicon.words)
        if count <= 1_000:  # beyond, it takes minutes
            ways["decode, then re"] = _by_regex(tokenizer, lexicon.words)
        for name, rates in _measure(ways, _make_batches(tokenizer, text)).items():
            table.add_row(f"{count:,}", name, f"{statistics.median(rates):.2f} ({min(rates):.2f}–{max(rates):.2f})")
    Console(width=110).print(table)
    if not importlib.util.find_spec("flashtext2"):
        print("flashtext2 was left out, for it is not installed: pip install flashtext2")


if __name__ == "__main__":
    main()
