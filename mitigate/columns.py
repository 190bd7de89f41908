"""Read the columns of a CSV, TSV, JSON or Parquet file, and refuse what could be misread."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

Columns = Mapping[str, Sequence[Any]]

# How the name of a file that can be read ends.
FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")

# Longest cell of a CSV file, in characters. The default of Python, 131,072, is less than a long document.
_LONGEST_CELL = 2**31 - 1


def read_columns(path: Path, names: Iterable[str]) -> Columns:
    """
    Read a table.

    Args:
        path (`Path`):
            The file, which ends in one of `FORMATS`, in UTF-8. JSON is one object a line, in `.json` a list as well.
        names (`Iterable[str]`):
            Columns that it must have.

    Returns:
        `Mapping[str, Sequence]`: All its columns by name, of equal length; of a table all cells are text, and what an
        object of JSON leaves out is `None`.

    Raises:
        ValueError: If the file is missing, of another kind, not in UTF-8 or broken; or if it has no rows, lacks a
            column, has two columns of one name, or a cell of a `.tsv` file holds a tab or a line feed.
    """
    readers: dict[str, Callable[[Path], Columns]] = {
        ".csv": _read_table,
        ".tsv": partial(_read_table, delimiter="\t"),
        ".jsonl": _read_jsonl,
        ".json": _read_json,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} must end in one of {', '.join(FORMATS)}.")
    _check_file(path)
    columns = readers[path.suffix.lower()](path)
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError(f"{path} has no rows.")
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(
            f"{path} has no column '{missing[0]}' (columns: {', '.join(map(str, columns))}). Rename one, or name "
            "another."
        )
    return columns


def _read_table(path: Path, delimiter: str = ",") -> Columns:
    text = io.StringIO(_decode(path), newline="")
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        rows = [row for row in csv.reader(text, delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a table: {error}.") from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path} has {len(row)} cells in row {number}, and {len(rows[0])} columns. Put a text that holds what "
                "separates cells in quotes, or mend the row."
            )
        if delimiter == "\t" and any("\t" in cell or "\n" in cell for cell in row):
            # Tables with tabs are mostly written without quoting, and one quotation mark would swallow rows.
            raise ValueError(
                f"{path} has a cell of several cells or lines in row {number}, since it begins with a quotation mark. "
                "Put quotation marks around the cell and write those of the text twice, or save the file as JSONL."
            )
    if len(rows) < 2:
        return {}
    _check_names(path, rows[0])
    return dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))


def _read_json(path: Path) -> Columns:
    text = _decode(path)
    if not text.lstrip().startswith("["):
        return _read_jsonl(path)
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has no valid JSON: {str(error).split(';')[0]}.") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{path} must hold a list of objects, got {type(row).__name__} in row {number}.")
        _check_characters(path, row, f"row {number}")
    return _united(rows)


def _read_jsonl(path: Path) -> Columns:
    rows = []
    # At line feeds only: a JSON text may hold other characters that end a line elsewhere, such as U+2028.
    for number, line in enumerate(_decode(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or ("too deep" if isinstance(error, RecursionError) else str(error))
            raise ValueError(f"{path} has no valid JSON in line {number}: {reason.split(';')[0]}.") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path} must have one object a line, got {type(row).__name__} in line {number}.")
        if "\\u" in line:
            _check_characters(path, row, f"line {number}")
        rows.append(row)
    return _united(rows)


def _check_characters(path: Path, row: Mapping[str, Any], place: str) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{path} has half of a character in {place} (\\u{ord(error.object[error.start]):x} without its other "
            "half): write the character out, or leave it out."
        ) from error


def _united(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def check_parquet(path: Path) -> None:
    """
    Refuse what is no Parquet file, has no rows or two columns of one name, without reading the rows.

    Args:
        path (`Path`):
            The file.

    Raises:
        ValueError: If it is one.
    """
    _check_file(path)
    try:
        metadata = parquet.read_metadata(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    if metadata.num_rows == 0:
        raise ValueError(f"{path} has no rows.")
    _check_names(path, metadata.schema.to_arrow_schema().names)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")


def _read_parquet(path: Path) -> Columns:
    check_parquet(path)
    try:
        columns: Columns = parquet.read_table(path).to_pydict()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    return columns


def _check_names(path: Path, names: Iterable[str]) -> None:
    # Spreadsheets leave columns without a name at the end.
    for name, count in Counter(filter(None, names)).most_common(1):
        if count > 1:
            raise ValueError(f"{path} has {count} columns '{name}', and nobody can tell which is meant: rename one.")


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} is not in UTF-8: line {line} has the byte 0x{data[error.start]:02x}. Save it as UTF-8."
        ) from error
