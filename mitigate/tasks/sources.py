"""Where a task's items come from: a set of the Hub, or a local file with the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from datasets import Dataset

from mitigate.data_files import is_empty, read_rows


@dataclass(frozen=True)
class Source:
    """
    A set of the Hub, or a local file, and how its columns are called there.

    Args:
        path (`str`):
            Id of a data set of the Hub, or the path of a file that ends in `.csv`, `.tsv`, `.jsonl`, `.json` or
            `.parquet`.
        revision (`str`, *optional*):
            Commit, branch or tag of the Hub's repository. Pin the commit in what you publish.
        subset (`str`, *optional*):
            Configuration of the data set.
        split (`str`, *optional*, defaults to `"test"`):
            Split; local files have none.
        data_files (`str`, *optional*):
            File of the repository, where it has several.
        columns (`Mapping[str, str | tuple[str, ...]]`, *optional*):
            By the task's name of a column its name in the source, where it differs; several are joined by a slash
            (`{"group": ("gender", "culture")}`).
        values (`Mapping[str, Mapping[str, str]]`, *optional*):
            By the task's name of a column what its values mean (`{"label": {"0": "acceptable", "1": "offensive"}}`).
            Rows with another value are an error.
        confirmed (`bool`, *optional*, defaults to `False`):
            Whether id and columns were seen in the documentation of the set; otherwise they are from memory.
    """

    path: str
    revision: str | None = None
    subset: str | None = None
    split: str = "test"
    data_files: str | None = None
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    confirmed: bool = False


def shipped(file: str, **options: Any) -> Source:
    """
    Name a file of this package.

    Args:
        file (`str`):
            Its name.
        options (`Any`):
            Further arguments of [`Source`].

    Returns:
        `Source`: The source.
    """
    return Source(str(resources.files("mitigate.tasks") / "data" / file), confirmed=True, **options)


def load_rows(source: Source, columns: Sequence[str]) -> Dataset:
    """
    Load the rows of a source.

    Args:
        source (`Source`):
            The source.
        columns (`Sequence[str]`):
            Columns that the result has, by the task's names.

    Returns:
        `Dataset`: Rows with these columns and no other. Numbers and truth values become text, and blanks around text
        are left out; lists stay.

    Raises:
        ValueError: If the source cannot be read or has no rows, as [`~mitigate.data_files.read_rows`] tells; a column
            is not there; or a value is empty or unknown.
    """
    try:
        raw = read_rows(
            source.path,
            name=source.subset,
            split=source.split,
            revision=source.revision,
            data_files=source.data_files,
        )
    except ValueError as error:
        raise ValueError(f"`path`: {error}") from error
    result = {}
    for name in columns:
        named = source.columns.get(name, name)
        parts = (named,) if isinstance(named, str) else named
        for part in parts:
            if part not in raw.column_names:
                raise ValueError(
                    f"Column '{name}': {source.path} has no column '{part}' (columns: {', '.join(raw.column_names)}). "
                    f"Name it with `columns={{'{name}': …}}` of the source."
                )
        rows = zip(*(raw[part] for part in parts), strict=True)
        result[name] = _alike([_value(source, name, cells, number) for number, cells in enumerate(rows, start=1)])
    return Dataset.from_dict(result)


def _alike(column: list[Any]) -> list[Any]:
    # Answers to one question are words and to another numbers, and a column can hold one kind of list only.
    texts = any(isinstance(part, str) for cell in column if isinstance(cell, list) for part in cell)
    return [list(map(str, cell)) if texts and isinstance(cell, list) else cell for cell in column]


def _value(source: Source, name: str, cells: tuple[Any, ...], number: int) -> Any:
    if any(map(is_empty, cells)):
        raise ValueError(f"Column '{name}' is empty in row {number} of {source.path}. Drop the row or fill it in.")
    if len(cells) == 1 and isinstance(cells[0], (list, dict)):
        return cells[0]
    text = "/".join(str(cell).strip() for cell in cells)
    known = source.values.get(name)
    if known is None:
        return text
    if text not in known:
        raise ValueError(
            f"Column '{name}' is '{text[:40]}' in row {number} of {source.path}, and `values` knows "
            f"{', '.join(known)}. Add it there, or drop the row."
        )
    return known[text]
