"""Read rows from a local file, a folder or the Hub, and refuse what `datasets` would misread without a word."""

from __future__ import annotations

import csv
import glob
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, Features, Value, load_dataset
from datasets.exceptions import DatasetsError

# Kinds of files that can be read, with the options of their readers.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    # Without its defaults, the reader would take the text "None" or "NA" for a missing value.
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": ("csv", {"keep_default_na": False, "delimiter": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}
# The standard library's own bound, 131,072 characters, is below that of a long document.
_LONGEST_CELL = 2**31 - 1


def read_dataset(source: str, **options: Any) -> Dataset:
    """
    Read a file, a folder, or a data set of the Hub.

    Args:
        source (`str`):
            Path of a file that ends in one of `FORMATS`, path of a folder, or id.
        options (`Any`):
            What `datasets.load_dataset` shall load of a folder or a data set of the Hub, with `split` among it; a file
            is read whole.

    Returns:
        `Dataset`: The rows, at least one. All cells of a table file are texts, as they stand there.

    Raises:
        ValueError: If it is not there, cannot be read, is not UTF-8, or has no rows; if rows of a table differ in
            length, two columns have one name, or a cell of a `.tsv` file holds a tab or a line feed.
    """
    path = Path(source)
    is_file = path.suffix in FORMATS or path.is_file()
    if is_file:
        _check_file(path)
    try:
        if is_file:
            rows: Dataset = _read_file(path)
        else:
            # The whole path: the end of `.` would be no name.
            rows = load_dataset(str(path.resolve()) if path.is_dir() else source, **options)
    except (OSError, ValueError, DatasetsError) as error:
        # Of a broken file, `datasets` says only that an error occurred; what it was is the cause.
        raise ValueError(f"{source} cannot be read: {error.__cause__ or error}") from error
    except StopIteration:  # of datasets, where all files of a folder are empty
        raise ValueError(f"{source} has no rows.") from None
    if len(rows) == 0:
        raise ValueError(f"{source} has no rows.")
    return rows


def is_empty(cell: Any) -> bool:
    """
    Tell whether a cell holds nothing.

    Args:
        cell (`Any`):
            A cell of a data set.

    Returns:
        `bool`: Whether it is `None`, NaN, an empty list or a text of blanks.
    """
    # NaN differs from itself.
    return cell is None or cell != cell or cell == [] or (isinstance(cell, str) and not cell.strip())


def _read_file(path: Path) -> Dataset:
    kind, options = FORMATS[path.suffix]
    if kind == "csv":
        # Else 007 would become 7, and 1.50 become 1.5.
        names = pd.read_csv(path, nrows=0, **options).columns
        options = options | {"features": Features(dict.fromkeys(names, Value("string")))}
    # The reader takes names for patterns, and brackets are frequent in names.
    return load_dataset(kind, data_files=glob.escape(str(path)), split="train", keep_in_memory=True, **options)


def _check_file(path: Path) -> None:
    # The reader of JSON replaces bytes that are not UTF-8 without a word, and falls over an empty file.
    if not path.is_file():
        raise ValueError(f"there is no file {path}.")
    if path.suffix not in FORMATS:
        raise ValueError(f"{path} must end in {', '.join(FORMATS)}.")
    if path.suffix == ".parquet":
        return
    start = ""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                start = start or line.decode("utf-8-sig").strip()
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"line {number} of {path} is not UTF-8. Save the file as UTF-8.") from error
    if not start:
        raise ValueError(f"{path} has no rows.")
    kind, options = FORMATS[path.suffix]
    if kind == "csv":
        _check_cells(path, options.get("delimiter", ","))
    elif not re.match(r"\{|\[\s*(\{|$)", start):
        # The reader of JSON ends Python at a null in place of the first row.
        raise ValueError(f"{path} must hold an object for each row, got {start[:40]!r} at its beginning.")


def _check_cells(path: Path, delimiter: str) -> None:
    # The reader of tables shifts the columns where all rows are longer than the header, and fills up short ones.
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=delimiter)
            header = next((row for row in lines if row), [])
            twice = [name for name, count in Counter(header).items() if count > 1]
            if twice:
                raise ValueError(f"{path} has two columns '{twice[0]}'. Rename one.")
            empty = True
            for row in lines:
                empty = empty and not row
                if row and len(row) != len(header):
                    raise ValueError(
                        f"{path} has {len(header)} columns, and {len(row)} cells in the row that ends in line "
                        f"{lines.line_num}. Put texts with a comma in quotes, or mend the row."
                    )
                if delimiter == "\t" and any("\t" in cell or "\n" in cell for cell in row):
                    # Tables with tabs are mostly written without quoting, and one quotation mark would swallow rows.
                    raise ValueError(
                        f"{path} has a cell of several cells or lines that ends in line {lines.line_num}, since it "
                        "begins with a quotation mark. Write quotation marks of texts twice and around the cell, or "
                        "save the file as JSONL."
                    )
            if empty:
                raise ValueError(f"{path} has no rows.")
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read: {error} (line {lines.line_num}).") from error
    finally:
        csv.field_size_limit(limit)
