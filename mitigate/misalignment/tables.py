"""Read the tables of an audit: real and augmented rows, and the answers to opinion questions."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitigate.columns import read_columns
from mitigate.misalignment.values import Answers


@dataclass(frozen=True)
class TextRows:
    """
    The rows of one side.

    Args:
        texts (`tuple[str, ...]` of length `n`):
            The texts.
        labels (`tuple[str, ...]`, *optional*):
            Label of each row.
        groups (`tuple[str, ...]`, *optional*):
            Group of each row; empty if unknown.

    Raises:
        ValueError: If there is not one label or group for each text.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "groups"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.texts):
                raise ValueError(
                    f"`{name}` must have one value for each of {len(self.texts)} texts, got {len(values)}."
                )

    def __len__(self) -> int:
        return len(self.texts)


def read_rows(
    path: str | Path, *, text: str = "text", label: str | None = None, group: str | None = None, id: str | None = None
) -> TextRows:
    """
    Read the rows of one side from a CSV, JSONL or Parquet file.

    Args:
        path (`str` or `Path`):
            The file, as in [`~mitigate.columns.read_columns`].
        text (`str`, *optional*, defaults to `"text"`):
            Column of the texts.
        label (`str`, *optional*):
            Column of the labels.
        group (`str`, *optional*):
            Column of the groups; where it is empty or no number (NaN), the group is unknown.
        id (`str`, *optional*):
            Column that numbers or names the rows; it is only checked that none comes twice.

    Returns:
        `TextRows`: The rows in the order of the file.

    Raises:
        ValueError: If the file is missing, of another kind, not in UTF-8 or broken; if it has no rows, lacks a column
            or has two of one name; if a row has no text or no label, or several groups; or if an id comes twice.
    """
    path = Path(path)
    columns = read_columns(path, [name for name in (text, label, group, id) if name is not None])
    if id is not None:
        _check_ids(path, id, columns[id])
    return TextRows(
        texts=_strings(path, text, columns[text]),
        labels=_strings(path, label, columns[label]) if label else None,
        groups=_groups(path, group, columns[group]) if group else None,
    )


@dataclass(frozen=True)
class AnswerTable:
    """
    Answers of people and of a generator to the same questions.

    Args:
        answers (`tuple[Answers, ...]`):
            One entry for each usable row.
        left_out (`int`):
            Rows whose lists of shares and options do not fit together, as happens when an LLM wrote them.
        reason (`str`):
            What is wrong with the first of them; empty if there is none.
    """

    answers: tuple[Answers, ...]
    left_out: int
    reason: str


def read_answers(
    path: str | Path, *, culture: str = "culture", human: str = "human", augmented: str = "augmented"
) -> AnswerTable:
    """
    Read answer distributions per culture from a JSONL or Parquet file.

    Each row has `question`, a culture, `options`, and two lists of shares that go with the options.

    Args:
        path (`str` or `Path`):
            The file.
        culture (`str`, *optional*, defaults to `"culture"`):
            Column of the culture.
        human (`str`, *optional*, defaults to `"human"`):
            Column of the shares of people's answers.
        augmented (`str`, *optional*, defaults to `"augmented"`):
            Column of the shares that the generator gave in their place.

    Returns:
        `AnswerTable`: The answers.

    Raises:
        ValueError: If the file is missing, of another kind, not in UTF-8 or broken, lacks a column or has two of one
            name, has no usable row, or asks a question twice in one culture.
    """
    path = Path(path)
    names = ("question", culture, "options", human, augmented)
    columns = read_columns(path, names)
    answers: list[Answers] = []
    reasons: list[str] = []
    for number, row in enumerate(zip(*(columns[name] for name in names), strict=True), start=1):
        try:
            answers.append(_answer(*row))
        except ValueError as error:
            reasons.append(f"row {number}: {error}")
    if not answers:
        raise ValueError(f"{path} has no usable row of answers; {reasons[0]}")
    (asked, count), *_ = Counter((answer.culture, answer.question) for answer in answers).most_common(1)
    if count > 1:
        raise ValueError(
            f"{path} asks one question {count} times in {asked[0]}, so that it would count as several: "
            f"'{asked[1][:60]}'. Leave out the copies, or tell the questions apart."
        )
    return AnswerTable(tuple(answers), len(reasons), reasons[0] if reasons else "")


def _answer(question: Any, culture: Any, options: Any, human: Any, augmented: Any) -> Answers:
    if not all(isinstance(each, list) for each in (options, human, augmented)):
        raise ValueError("options and both shares must be lists.")
    # A whole number in JSON may have any number of digits.
    if not all(isinstance(share, int | float) and abs(share) <= sys.float_info.max for share in (*human, *augmented)):
        raise ValueError("shares must be finite numbers.")
    if not question or not culture:
        raise ValueError("question and culture must not be empty.")
    return Answers(str(question), str(culture), tuple(map(str, options)), tuple(human), tuple(augmented))


def _strings(path: Path, column: str, values: Sequence[Any]) -> tuple[str, ...]:
    for number, value in enumerate(values, start=1):
        nested = isinstance(value, list | dict | bytes)
        if nested or not _text(value):
            what = "is no text" if nested else "is empty"
            raise ValueError(f"`{column}` {what} in row {number} of {path}: fill it in, or leave the row out.")
    return tuple(map(str, values))


def _groups(path: Path, column: str, values: Sequence[Any]) -> tuple[str, ...]:
    for number, value in enumerate(values, start=1):
        if isinstance(value, list | dict | bytes):
            raise ValueError(f"`{column}` must be one group, got {type(value).__name__} in row {number} of {path}.")
    return tuple(map(_text, values))


def _text(value: Any) -> str:
    """Return a cell as text, empty if it is missing: pandas writes NaN then."""
    return "" if value is None or value != value else str(value).strip()


def _check_ids(path: Path, column: str, values: Sequence[Any]) -> None:
    for number, value in enumerate(values, start=1):
        if not _text(value):
            raise ValueError(f"`{column}` is empty in row {number} of {path}: fill it in, or name another column.")
    counts = Counter(map(str, values))
    name, count = counts.most_common(1)[0]
    if count > 1:
        several = sum(number > 1 for number in counts.values())
        raise ValueError(
            f"`{column}` must name each row of {path} once, and '{name}' comes {count} times ({several} such ids): "
            "leave out the copies, or name another column."
        )
