"""
Measure how fast sensitive words are found in token ids, on one core.

Run it as `OMP_NUM_THREADS=1 python benchmarks/masking.py`; it takes about a minute. It needs no download: text and
tokenizer are made up, with the same share of sensitive words whatever the length of the lexicon. All ways take turns
in one run; the table gives the median over the rounds, and the lowest and the highest. Those that are marked "1 batch"
are so slow that they get the first of the eight batches only.

The ways to mask start from rows as a collator gets them, dictionaries of lists of Python integers:

- `rows to masked rows` ends with rows of masked ids and labels, which the inner collator gets;
- `rows to masked batch` with tensors: it is all that `BiasMaskCollator` does, around the collator of TRL's SFTTrainer;
- `rows to batch, unmasked` is that collator alone.
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
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from mitigate import BiasMaskCollator, Lexicon
from mitigate.words import WordMatcher

Rows = list[list[int]]
Way = Callable[[Rows], object]

ENTRIES = (100, 1_000, 10_000)
ROWS, LENGTH, BATCHES, ROUNDS = 32, 512, 8, 7
SHARE = 0.03  # of words that are sensitive
_SLOW = " (1 batch)"


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
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="<mask>", pad_token="<pad>")


def _make_batches(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> list[Rows]:
    ids = tokenizer(" ".join(words)).input_ids
    rows = [ids[start : start + LENGTH] for start in range(0, len(ids) - LENGTH, LENGTH)]
    return [rows[start : start + ROWS] for start in range(0, ROWS * BATCHES, ROWS)]


def _by_regex(tokenizer: PreTrainedTokenizerFast, words: tuple[str, ...]) -> Way:
    pattern = re.compile(rf"\b(?:{'|'.join(sorted(words, key=len, reverse=True))})\b", re.IGNORECASE)
    return lambda rows: [[m.span() for m in pattern.finditer(text)] for text in tokenizer.batch_decode(rows)]


def _by_flashtext(tokenizer: PreTrainedTokenizerFast, words: tuple[str, ...]) -> Way:
    from flashtext2 import KeywordProcessor

    finder = KeywordProcessor(case_sensitive=False)
    for word in words:
        finder.add_keyword(word)
    return lambda rows: [finder.extract_keywords_with_span(text) for text in tokenizer.batch_decode(rows)]


def _by_presidio(tokenizer: PreTrainedTokenizerFast, words: tuple[str, ...]) -> Way:
    from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    engine = NoOpNlpEngine([{"lang_code": "en", "model_name": ""}])
    engine.load()
    registry = RecognizerRegistry([PatternRecognizer("SENSITIVE", deny_list=list(words))])
    analyzer = AnalyzerEngine(registry, engine, supported_languages=["en"])
    return lambda rows: [analyzer.analyze(text, "en") for text in tokenizer.batch_decode(rows)]


def _by_collator(tokenizer: PreTrainedTokenizerFast, lexicon: Lexicon, batches: list[Rows]) -> dict[str, Way]:
    inner = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)
    collator = BiasMaskCollator(tokenizer, lexicon, collator=inner)
    # Made beforehand, as a data set has them.
    plain = {id(rows): [{"input_ids": ids, "labels": ids.copy()} for ids in rows] for rows in batches}
    marked = {key: [{**row, "augmented": True} for row in rows] for key, rows in plain.items()}
    return {
        "rows to masked rows": lambda rows: collator._prepare(marked[id(rows)]),
        "rows to masked batch": lambda rows: collator(marked[id(rows)]),
        "rows to batch, unmasked": lambda rows: inner(plain[id(rows)]),
    }


def _ways(tokenizer: PreTrainedTokenizerFast, lexicon: Lexicon, batches: list[Rows]) -> dict[str, Way]:
    words = lexicon.words
    ways = {"WordMatcher.find_all": WordMatcher(tokenizer, lexicon).find_all}
    ways |= _by_collator(tokenizer, lexicon, batches)
    if _installed("flashtext2"):
        ways["decode, then flashtext2"] = _by_flashtext(tokenizer, words)
    if len(words) <= 1_000:  # beyond, it takes minutes
        ways[f"decode, then re{_SLOW}"] = _by_regex(tokenizer, words)
    if _installed("presidio_analyzer"):
        ways[f"decode, then Presidio{_SLOW}"] = _by_presidio(tokenizer, words)
    return ways


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _measure(ways: dict[str, Way], batches: list[Rows]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # caches and tables fill
        way(batches[0])
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken = batches[:1] if name.endswith(_SLOW) else batches
            start = time.perf_counter()
            for rows in taken:
                way(rows)
            seconds = time.perf_counter() - start
            rates[name].append(sum(len(ids) for rows in taken for ids in rows) / seconds / 1e6)
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
        batches = _make_batches(tokenizer, text)
        for name, rates in _measure(_ways(tokenizer, lexicon, batches), batches).items():
            table.add_row(f"{count:,}", name, f"{statistics.median(rates):.3g} ({min(rates):.3g}–{max(rates):.3g})")
    Console(width=110).print(table)
    for package, name in (("flashtext2", "flashtext2"), ("presidio_analyzer", "presidio-analyzer")):
        if not _installed(package):
            print(f"{name} was left out, for it is not installed: pip install {name}")


if __name__ == "__main__":
    main()
