"""Where a task's items come from: a set of the Hub, or a local file with the same columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from datasets import Dataset

from mitigate.data_files import is_empty, read_dataset
from mitigate.spelling import check_spelling, did_you_mean

# Columns whose values are names of classes, which must be spelt in one way.
_CATEGORIES = ("label", "group", "gender")


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

    Raises:
        ValueError: If `values` has no mapping for a column that it names.
    """

    path: str
    revision: str | None = None
    subset: str | None = None
    split: str = "test"
    data_files: str | None = None
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    confirmed: bool = False

    def __post_init__(self) -> None:
        for name, meanings in self.values.items():
            if not isinstance(meanings, Mapping):
                raise ValueError(
                    f"`values` must tell for column '{name}' what each value means, such as {{'0': 'acceptable'}}, "
                    f"got {meanings!r}."
                )
        known = {name: {str(cell).strip(): text for cell, text in own.items()} for name, own in self.values.items()}
        object.__setattr__(self, "values", known)


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


def read_source(source: Source) -> Dataset:
    """
    Read a source with all its columns, as they are called there.

    Args:
        source (`Source`):
            The source.

    Returns:
        `Dataset`: The rows, at least one.

    Raises:
        ValueError: If it cannot be read or has no rows, as [`~mitigate.data_files.read_dataset`] tells.
    """
    try:
        return read_dataset(
            source.path,
            name=source.subset,
            split=source.split,
            revision=source.revision,
            data_files=source.data_files,
        )
    except ValueError as error:
        raise ValueError(f"`path`: {error}") from error


def load_rows(source: Source, columns: Sequence[str], lists: Collection[str] = ()) -> Dataset:
    """
    Load the rows of a source.

    Args:
        source (`Source`):
            The source.
        columns (`Sequence[str]`):
            Columns that the result has, by the task's names.
        lists (`Collection[str]`, *optional*):
            Those that may hold lists or mappings.

    Returns:
        `Dataset`: Rows with these columns and no other. Numbers and truth values become text, and blanks around text
        are left out; lists stay.

    Raises:
        ValueError: If the source cannot be read or has no rows (see [`read_source`]); a column is not there; a value
            is empty, unknown or a list; a label or group is spelt in two ways; or `columns` or `values` hold a slip.
    """
    _refuse_slips(source, columns)
    raw = read_source(source)
    result: dict[str, list[Any]] = {}
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
        allowed = name in lists
        values = [_value(source, name, cells, number, lists=allowed) for number, cells in enumerate(rows, start=1)]
        if name in _CATEGORIES:
            check_spelling(map(str, values), f"Column '{name}' of {source.path}")
        result[name] = values
    return Dataset.from_dict(result)


def _refuse_slips(source: Source, columns: Sequence[str]) -> None:
    for field_name, named in (("columns", source.columns), ("values", source.values)):
        for name in named:
            hint = did_you_mean(name, columns)
            if name not in columns and hint:
                raise ValueError(f"`{field_name}` of the source names '{name}', no column of the task.{hint}")


def _value(source: Source, name: str, cells: tuple[Any, ...], number: int, *, lists: bool) -> Any:
    if any(map(is_empty, cells)):
        raise ValueError(f"Column '{name}' is empty in row {number} of {source.path}. Drop the row or fill it in.")
    nested = [cell for cell in cells if isinstance(cell, (list, dict))]
    if nested and lists:
        return nested[0]
    if nested:
        raise ValueError(
            f"Column '{name}' must hold texts or numbers, unlike row {number} of {source.path}: "
            f"{str(nested[0])[:40]}. Write one object for each row, with a text for this column."
        )
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
