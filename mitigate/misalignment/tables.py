"""Read the tables of an audit: real and augmented rows, and the answers to opinion questions."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from mitigate.misalignment.values import Answers

Columns = Mapping[str, Sequence[Any]]


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
            The file (`.csv`, `.jsonl` or `.parquet`), in UTF-8.
        text (`str`, *optional*, defaults to `"text"`):
            Column of the texts.
        label (`str`, *optional*):
            Column of the labels.
        group (`str`, *optional*):
            Column of the groups; where it is empty, the group is unknown.
        id (`str`, *optional*):
            Column that numbers or names the rows; it is only checked that none comes twice.

    Returns:
        `TextRows`: The rows in the order of the file.

    Raises:
        ValueError: If the file is missing, of another kind, not in UTF-8 or broken; if it has no rows or lacks a
            column; if a row has no text or no label; or if an id comes twice.
    """
    path = Path(path)
    columns = _read(path)
    named = [name for name in (text, label, group, id) if name is not None]
    missing = [name for name in named if name not in columns]
    if missing:
        raise ValueError(
            f"{path} has no column '{missing[0]}' (columns: {', '.join(map(str, columns))}). Name the columns of "
            "text, label, group and id as the file does."
        )
    if id is not None:
        _check_ids(path, id, columns[id])
    return TextRows(
        texts=_strings(path, text, columns[text]),
        labels=_strings(path, label, columns[label]) if label else None,
        groups=tuple("" if value is None else str(value).strip() for value in columns[group]) if group else None,
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
        ValueError: If the file is missing, of another kind, not in UTF-8 or broken, lacks a column, or has no usable
            row.
    """
    path = Path(path)
    columns = _read(path)
    names = ("question", culture, "options", human, augmented)
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column '{missing[0]}' (columns: {', '.join(map(str, columns))}).")
    answers: list[Answers] = []
    reasons: list[str] = []
    for number, row in enumerate(zip(*(columns[name] for name in names), strict=True), start=1):
        try:
            answers.append(_answer(*row))
        except ValueError as error:
            reasons.append(f"row {number}: {error}")
    if not answers:
        raise ValueError(f"{path} has no usable row of answers; {reasons[0]}")
    return AnswerTable(tuple(answers), len(reasons), reasons[0] if reasons else "")


def _answer(question: Any, culture: Any, options: Any, human: Any, augmented: Any) -> Answers:
    if not all(isinstance(each, list) for each in (options, human, augmented)):
        raise ValueError("options and both shares must be lists.")
    if not all(isinstance(share, int | float) for share in (*human, *augmented)):
        raise ValueError("shares must be numbers.")
    if not question or not culture:
        raise ValueError("question and culture must not be empty.")
    return Answers(str(question), str(culture), tuple(map(str, options)), tuple(human), tuple(augmented))


def _strings(path: Path, column: str, values: Sequence[Any]) -> tuple[str, ...]:
    for number, value in enumerate(values, start=1):
        if value is None or isinstance(value, list | dict) or not str(value).strip():
            what = "is empty" if value is None or not isinstance(value, list | dict) else "is no text"
            raise ValueError(f"`{column}` {what} in row {number} of {path}: fill it in, or leave the row out.")
    return tuple(map(str, values))


def _check_ids(path: Path, column: str, values: Sequence[Any]) -> None:
    counts = Counter(map(str, values))
    name, count = counts.most_common(1)[0]
    if count > 1:
        several = sum(number > 1 for number in counts.values())
        raise ValueError(
            f"`{column}` must name each row of {path} once, and '{name}' comes {count} times ({several} such ids): "
            "leave out the copies, or name another column."
        )


def _read(path: Path) -> Columns:
    readers: dict[str, Callable[[Path], Columns]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} must be one of {', '.join(readers)}, by the ending of its name.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    columns = readers[path.suffix.lower()](path)
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError(f"{path} has no rows.")
    return columns


def _read_csv(path: Path) -> Columns:
    text = io.StringIO(_decode(path), newline="")
    try:
        rows = [row for row in csv.reader(text, strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}.") from error
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"{path} has {len(row)} cells in row {number}, and {len(rows[0])} columns.")
    return dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True)) if len(rows) > 1 else {}


def _read_jsonl(path: Path) -> Columns:
    rows = []
    for number, line in enumerate(_decode(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} has no valid JSON in line {number}: {error.msg}.") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path} must have one object a line, got {type(row).__name__} in line {number}.")
        rows.append(row)
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _read_parquet(path: Path) -> Columns:
    try:
        columns: Columns = parquet.read_table(path).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
    return columns


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} is not in UTF-8: line {line} has the byte 0x{data[error.start]:02x}. Save it as UTF-8."
        ) from error
