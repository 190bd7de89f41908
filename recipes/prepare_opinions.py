"""
Turn answers of people and of an LLM to the same opinion questions into the files of `opinions.yaml`.

    python recipes/prepare_opinions.py --distributions llm_estimated_distributions.jsonl --output_dir outputs/opinions

Every line of the input has `question`, `country`, `options`, and two lists that go with the options: how people of the
country answered (`human`), and how an LLM says they would (`llm`). Numbers like these come from surveys such as
GlobalOpinionQA (Durmus et al. 2023), whose licence is non-commercial: keep the files to yourself.
"""

from __future__ import annotations

import json
import random
import string
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from mitigate.columns import read_columns
from mitigate.files import replace_file
from mitigate.tasks.opinions import NO_OPINION

_LETTERS = string.ascii_uppercase
_COLUMNS = ("question", "country", "options", "human", "llm")


@dataclass
class OpinionArguments:
    """Command line of this script."""

    distributions: str = field(metadata={"help": "JSONL file of questions with the answers of people and of an LLM."})
    output_dir: str = field(metadata={"help": "Folder for real.jsonl, augmented.jsonl and test.jsonl."})
    draws: int = field(default=20, metadata={"help": "Rows drawn from each of the two distributions of an item."})
    max_words: int = field(default=0, metadata={"help": "Words above which a prompt is left out; 0 keeps all."})
    items_per_country: int = field(default=0, metadata={"help": "Questions kept for each country; 0 keeps all."})
    seed: int = field(default=0, metadata={"help": "Seed of the draws."})

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"`draws` must be at least 1, got {self.draws}.")
        for name in ("max_words", "items_per_country"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Item:
    """
    A question to people of one country, with two distributions over the same answers.

    Args:
        country (`str`):
            The country.
        question (`str`):
            The question.
        options (`tuple[str, ...]`):
            The answers to choose from, at most 26.
        human (`tuple[float, ...]`):
            Share of people for each; sums to 1.
        llm (`tuple[float, ...]`):
            Share that the LLM gives; sums to 1.
    """

    country: str
    question: str
    options: tuple[str, ...]
    human: tuple[float, ...]
    llm: tuple[float, ...]

    @property
    def letters(self) -> list[str]:
        """`list[str]`: The letters that stand for the options."""
        return list(_LETTERS[: len(self.options)])

    @property
    def prompt(self) -> str:
        """`str`: Country, question and lettered options; the answer that follows is one letter, thus one token."""
        lettered = [f"{letter}: {option}" for letter, option in zip(self.letters, self.options, strict=True)]
        return "\n".join([f"Country: {self.country}", f"Question: {self.question}", *lettered, "Answer:"])


def clean(row: dict[str, Any]) -> Item | None:
    """
    Leave out the options that are no opinion, and renormalise both distributions over those that remain.

    Args:
        row (`dict`):
            `question`, `country`, `options`, `human` and `llm`.

    Returns:
        `Item` or `None`: The item; `None` if the lists differ in length (nobody can tell then which share is whose),
        if a share is no finite number of at least 0, if a cell is missing, or if fewer than two or more than 26
        options or no share at all are left.
    """
    columns = [row["options"], row["human"], row["llm"]]
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        return None
    if not (row["question"] and row["country"] and all(map(_is_share, (*row["human"], *row["llm"])))):
        return None
    kept = [cells for cells in zip(*columns, strict=True) if not NO_OPINION.search(str(cells[0]))]
    if not 2 <= len(kept) <= len(_LETTERS):
        return None
    options, human, llm = zip(*kept, strict=True)
    if min(sum(human), sum(llm)) <= 0:
        return None
    texts = tuple(" ".join(str(option).split()) for option in options)
    question = " ".join(str(row["question"]).split())
    return Item(str(row["country"]), question, texts, _normalised(human), _normalised(llm))


def sample(items: list[Item], per_country: int, *, seed: int) -> list[Item]:
    """
    Keep some questions of each country.

    Args:
        items (`list[Item]`):
            The items.
        per_country (`int`):
            Questions to keep for each country, or all that there are if those are fewer; 0 keeps all.
        seed (`int`):
            Seed of the draw.

    Returns:
        `list[Item]`: The items kept, in their order.
    """
    if per_country == 0:
        return items
    kept: set[int] = set()
    for country in sorted({item.country for item in items}):
        places = [place for place, item in enumerate(items) if item.country == country]
        random.Random(f"{seed}-{country}").shuffle(places)
        kept.update(places[:per_country])
    return [items[place] for place in sorted(kept)]


def training_rows(items: Iterable[Item], side: str, *, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """
    Draw answers.

    Args:
        items (`Iterable[Item]`):
            The items.
        side (`str`):
            `human` or `llm`.
        draws (`int`):
            Answers drawn for each item.
        seed (`int`):
            Seed of the draws.

    Yields:
        `dict`: `prompt`, `country` and `answer`.
    """
    for number, item in enumerate(items):
        draw = random.Random(f"{seed}-{side}-{number}")
        for letter in draw.choices(item.letters, weights=getattr(item, side), k=draws):
            yield {"prompt": item.prompt, "country": item.country, "answer": letter}


def test_rows(items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    """
    List what a model's answers are compared with.

    Args:
        items (`Iterable[Item]`):
            The items.

    Yields:
        `dict`: `prompt`, `country`, `options` (letters) and `distribution` (of people's answers).
    """
    for item in items:
        yield {
            "prompt": item.prompt,
            "country": item.country,
            "options": item.letters,
            "distribution": list(item.human),
        }


def main(arguments: list[str] | None = None) -> None:
    """
    Write the three files.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.
    """
    (parsed,) = HfArgumentParser(OpinionArguments).parse_args_into_dataclasses(arguments)  # type: ignore[arg-type]
    try:
        print(_prepare(parsed))
    except (ValueError, OSError) as error:
        sys.exit(f"The answers cannot be prepared: {error}")


def _prepare(parsed: OpinionArguments) -> str:
    columns = read_columns(Path(parsed.distributions), _COLUMNS)
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    cleaned = [clean(dict(zip(_COLUMNS, cells, strict=True))) for cells in rows]
    usable = [item for item in cleaned if item is not None]
    short = [item for item in usable if not 0 < parsed.max_words < len(item.prompt.split())]
    if not short:
        raise ValueError(f"none of the {len(cleaned)} rows of {parsed.distributions} can be used.")
    items = sample(short, parsed.items_per_country, seed=parsed.seed)
    folder = Path(parsed.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, side in (("real", "human"), ("augmented", "llm")):
        _write(folder / f"{name}.jsonl", training_rows(items, side, draws=parsed.draws, seed=parsed.seed))
    _write(folder / "test.jsonl", test_rows(items))
    return (
        f"{len(cleaned) - len(usable)} of {len(cleaned)} items left out (unequal lists, what is no share, or "
        f"no opinion among the options). {len(items)} items with {parsed.draws} real and {parsed.draws} augmented "
        f"rows each, in {folder}."
    )


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= sys.float_info.max


def _normalised(shares: Iterable[float]) -> tuple[float, ...]:
    values = [float(share) for share in shares]
    return tuple(value / sum(values) for value in values)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    replace_file(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    main()
