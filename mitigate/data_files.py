"""Read rows from a local file, a folder or the Hub, and refuse what `datasets` would misread without a word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, concatenate_datasets, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetsError

from mitigate.columns import FORMATS, check_parquet, read_columns

# What describes a folder and holds no rows.
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def read_dataset(source: str, *, split: str, **options: Any) -> Dataset:
    """
    Read a file, a folder, or a data set of the Hub.

    Args:
        source (`str`):
            Path of a file that ends in one of `FORMATS`, path of a folder of such files, or id.
        split (`str`):
            Split of a folder or a data set of the Hub; a file is read whole.
        options (`Any`):
            Further arguments of `datasets.load_dataset` for these.

    Returns:
        `Dataset`: The rows, at least one. All cells of a table are texts, as they stand there.

    Raises:
        ValueError: If it is not there, cannot be read or has no rows; as [`~mitigate.columns.read_columns`] does; if a
            column holds values of several kinds; or if a folder lacks the split or has files that belong to none.
    """
    path = Path(source)
    if path.suffix in FORMATS or path.is_file():
        return _read_file(path)
    try:
        if path.is_dir():
            # The whole path: the end of `.` would be no name.
            found = load_dataset_builder(str(path.resolve()), **options).config.data_files
        else:
            rows: Dataset = load_dataset(source, split=split, **options)
    except (OSError, ValueError, DatasetsError) as error:
        # Of a broken file, `datasets` says only that an error occurred; what it was is the cause.
        raise ValueError(f"{source} cannot be read: {error.__cause__ or error}") from error
    if path.is_dir():
        files = {str(name): [Path(file) for file in own] for name, own in found.items()}
        return _read_folder(path, files, split, chosen=bool(options.get("data_files")))
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
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    columns = {name: _alike(cells) for name, cells in read_columns(path, ()).items()}
    for name, cells in columns.items():
        try:
            pa.array(cells)
        except (pa.ArrowException, OverflowError, TypeError) as error:
            kinds = ", ".join(sorted({type(cell).__name__ for cell in cells if cell is not None}))
            raise ValueError(
                f"{path} has values of several kinds in column '{name}' ({kinds}), of which some would be changed. "
                "Write them alike, such as all as texts."
            ) from error
    return Dataset.from_dict(columns)


def _read_parquet(path: Path) -> Dataset:
    # It knows its types, such as the names of classes.
    try:
        check_parquet(path)
        rows: Dataset = Dataset.from_parquet(str(path), keep_in_memory=True)
    except (OSError, DatasetsError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error.__cause__ or error}") from error
    return rows


def _alike(column: Sequence[Any]) -> Sequence[Any]:
    # Answers to one question are words and to another numbers, and a column can hold one kind of list only.
    texts = any(isinstance(part, str) for cell in column if isinstance(cell, list) for part in cell)
    return [list(map(str, cell)) if texts and isinstance(cell, list) else cell for cell in column]


def _read_folder(path: Path, files: dict[str, list[Path]], split: str, *, chosen: bool) -> Dataset:
    if split not in files:
        raise ValueError(f"{path} has no split '{split}' (splits: {', '.join(files)}).")
    read = {file.resolve() for own in files.values() for file in own}
    there = [file for file in sorted(path.rglob("*")) if file.suffix in FORMATS and file.name not in _ABOUT]
    passed_over = [file for file in there if file.resolve() not in read]
    if passed_over and not chosen:
        raise ValueError(
            f"{passed_over[0]} would be passed over, as {path} has files of another kind or name too. Save all in one "
            "format, with the split in their names, or name one file."
        )
    return concatenate_datasets([_read_file(file) for file in files[split]])
