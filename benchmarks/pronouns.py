"""
Measure how often the rule tells rightly what a `her` is, on texts about men.

Every *he*, *him*, *his* and *himself* of a text is written as a woman's pronoun, and the rule is asked which `her` was
*him* and which was *his*. Nobody has to label anything, and the texts are as people and models write them. Counted as
wrong are also the few *his* without a noun (*it is his*), and left out is a `her` where a text was cut right after it.

    python benchmarks/pronouns.py bios.csv letters.csv --text text --where gender=male
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mitigate.twins import in_case_of, roles_by_rule

WOMEN = {"he": "she", "him": "her", "his": "her", "himself": "herself"}
MEN = re.compile(r"(?<![^\W_])(?:he|him|his|himself)(?![^\W_])", re.IGNORECASE)
CUT = re.compile(r"her[^\w.!?]*", re.IGNORECASE)


def measure(texts: list[str]) -> Counter[tuple[str, bool]]:
    """Count the pronouns of texts by what they were, and whether the rule tells so."""
    counts: Counter[tuple[str, bool]] = Counter()
    for text in texts:
        rewritten, was = _rewrite(text)
        roles = roles_by_rule(rewritten)
        for place, word in was.items():
            if not CUT.fullmatch(rewritten, place):
                counts[word, roles[place] == ("other" if word == "him" else "determiner")] += 1
    return counts


def _rewrite(text: str) -> tuple[str, dict[int, str]]:
    """Write a man's pronouns as a woman's; also give what every `her` was, by its first character."""
    pieces, was, end, length = [], {}, 0, 0
    for found in MEN.finditer(text):
        word = found[0].lower()
        pieces += [text[end : found.start()], in_case_of(found[0], word, WOMEN[word])]
        length += len(pieces[-2]) + len(pieces[-1])
        end = found.end()
        if WOMEN[word] == "her":
            was[length - len("her")] = word
    return "".join([*pieces, text[end:]]), was


def _read(path: Path, column: str, where: list[str]) -> list[str]:
    wanted = dict(condition.split("=", 1) for condition in where)
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file) if all(row[k] == v for k, v in wanted.items())]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="CSV files.")
    parser.add_argument("--text", default="text", help="Column of the texts.")
    parser.add_argument("--where", nargs="*", default=[], metavar="COLUMN=VALUE", help="Rows to take.")
    arguments = parser.parse_args()
    table = Table("texts", "number", "her", "right", "of them him", "right")
    for path in arguments.files:
        texts = _read(path, arguments.text, arguments.where)
        counts = measure(texts)
        numbers = []
        for words in (("him", "his"), ("him",)):
            total = sum(count for (word, _), count in counts.items() if word in words)
            right = sum(counts[word, True] for word in words)
            numbers += [f"{total:,}", f"{right / max(total, 1):.1%}"]
        table.add_row(path.stem, f"{len(texts):,}", *numbers)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
