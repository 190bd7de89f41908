"""Read the files of a user into rows to train and to measure on, and say what is wrong with them before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from mitigate.data_files import is_empty, read_dataset
from mitigate.recipes.arguments import DataArguments
from mitigate.recipes.config import ConfigError
from mitigate.spelling import check_spelling

# Values of the column that tells augmented rows.
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")
# Columns of lists.
_LISTS = ("options_column", "distribution_column")


class Table:
    """
    Real, augmented and test rows of files or of the Hub.

    Training rows have `prompt` and `completion`; test rows have `prompt`, `candidates` and, on opinions,
    `distribution`. Both have `label` and `group` where there are such columns.

    Args:
        data (`DataArguments`):
            Files and columns.

    Attributes:
        real (`Dataset`):
            Real rows to train on.
        augmented (`Dataset`):
            Augmented rows to train on.
        test (`Dataset`):
            Rows to measure on.

    Raises:
        ConfigError: If a file or a column is not there, a value is missing or of the wrong kind, a label is outside
            the label set, or the test rows do not suffice for the metrics.
    """

    def __init__(self, data: DataArguments) -> None:
        self._stereotypes = data.stereotype_of()
        real, augmented = training_files(data)
        self.real = prepare_rows(real, "real", data)
        self.augmented = prepare_rows(augmented, "augmented", data)
        self.test = prepare_rows(load_rows(_named(data.test_file), "test_file"), "test", data)
        problems = list(self._problems_of_groups() if data.distribution_column is None else ())
        if problems:
            raise ConfigError("\n".join(problems))

    def _problems_of_groups(self) -> Iterator[str]:
        for name, rows in (("real", self.real), ("augmented", self.augmented), ("test", self.test)):
            outside = sorted(set(rows["label"]) - set(self._stereotypes))
            if outside:
                yield (
                    f"The {name} rows have labels outside the label set: {', '.join(outside)}. `stereotypes` names "
                    f"{', '.join(sorted(self._stereotypes))}; add them there, or drop these rows."
                )
        for name in ("label", "group"):
            try:
                check_spelling([*self.real[name], *self.augmented[name], *self.test[name]], f"`{name}_column`")
            except ValueError as error:
                yield str(error)
        groups = sorted(set(self.test["group"]))
        third = sorted(set(self.augmented["group"]) - set(groups))
        if third and len(groups) == 2:
            # Beside the stereotyped group, the dose knows one other.
            yield (
                f"The augmented rows have groups that no test row has: {', '.join(third)} (groups: "
                f"{', '.join(groups)}). Drop these rows."
            )
        if len(groups) != 2:
            yield f"The TPR gap compares two groups, and the test rows have {len(groups)}: {', '.join(groups)}."
            return
        strange = sorted(set(self._stereotypes.values()) - set(groups))
        if strange:
            yield f"`stereotypes`: {', '.join(strange)} is no group of the test rows (groups: {', '.join(groups)})."
        counts = Counter(zip(self.test["label"], self.test["group"], strict=True))
        for label in sorted(self._stereotypes):
            for group in groups:
                if counts[label, group] == 0:
                    yield f"No test row has label '{label}' and group '{group}', so their gap cannot be measured."


def training_files(data: DataArguments) -> tuple[Dataset, Dataset]:
    """
    Read the files of rows to train on, with all their columns.

    Args:
        data (`DataArguments`):
            Files and columns.

    Returns:
        `tuple[Dataset, Dataset]`: Real and augmented rows.

    Raises:
        ConfigError: If a file cannot be read, or real and augmented rows cannot be told apart.
    """
    rows, column = load_rows(_named(data.real_file), "real_file"), data.augmented_column
    if data.augmented_file is not None:
        augmented = load_rows(data.augmented_file, "augmented_file")
        if any(_flags(rows, column)):
            raise ConfigError(
                f"`augmented_file`: column '{column}' of {data.real_file} marks augmented rows, which must not train "
                "as real ones. Leave out `augmented_file`, or take these rows out of `real_file`."
            )
        if not all(_flags(augmented, column)):
            raise ConfigError(
                f"`augmented_file`: column '{column}' of {data.augmented_file} marks real rows, which must not train "
                "as augmented ones. Take them out of the file."
            )
        return rows, augmented
    if column not in rows.column_names:
        raise ConfigError(
            f"`augmented_column`: '{column}' is not a column of {data.real_file} (columns: "
            f"{', '.join(rows.column_names)}). Name the boolean column that tells augmented rows, or give the "
            "augmented rows in a file of their own, `augmented_file`."
        )
    flags = _flags(rows, column)
    if len(set(flags)) == 1:
        kind = "augmented" if flags[0] else "real"
        raise ConfigError(f"`augmented_column`: all {len(rows)} rows of {data.real_file} are {kind}.")
    sides = [[i for i, flag in enumerate(flags) if flag == wanted] for wanted in (False, True)]
    return rows.select(sides[0]), rows.select(sides[1])


def _flags(rows: Dataset, column: str) -> list[bool]:
    """Tell of each row whether it is marked as augmented; empty without the column."""
    if column not in rows.column_names:
        return []
    flags = [str(flag).strip().lower() for flag in rows[column]]
    other = sorted(set(flags) - {*_TRUE, *_FALSE})
    if other:
        raise ConfigError(f"`augmented_column`: '{column}' must hold true and false, got '{other[0]}'.")
    return [flag in _TRUE for flag in flags]


def prepare_rows(rows: Dataset, kind: str, data: DataArguments) -> Dataset:
    """
    Take from the rows of a file what a sweep needs.

    Args:
        rows (`Dataset`):
            The rows.
        kind (`str`):
            `"real"`, `"augmented"` or `"test"`.
        data (`DataArguments`):
            Columns.

    Returns:
        `Dataset`: As many rows, with `prompt`, `completion` (in test rows the answers to choose from), `label` and
        `group`, where there are such columns.

    Raises:
        ConfigError: If a column is not there, or a value is missing or of the wrong kind.
    """
    named = _columns(data, test=kind == "test")
    for field_name, column in named.items():
        if column not in rows.column_names:
            raise ConfigError(
                f"`{field_name}`: '{column}' is not a column of the {kind} rows (columns: "
                f"{', '.join(rows.column_names)})."
            )
    prepared = []
    classes = {name: feature for name, feature in rows.features.items() if isinstance(feature, ClassLabel)}
    for number, row in enumerate(rows, start=1):
        row |= {name: feature.int2str(row[name]) for name, feature in classes.items() if row[name] is not None}
        values = {field_name: row[column] for field_name, column in named.items()}
        empty = [field_name for field_name, value in values.items() if is_empty(value)]
        if empty:
            raise ConfigError(f"`{empty[0]}`: '{named[empty[0]]}' is empty in {kind} row {number}.")
        for field_name, value in values.items():
            if field_name not in _LISTS and not isinstance(value, str | int | float):
                raise ConfigError(
                    f"`{field_name}`: '{named[field_name]}' must hold texts, got {str(value)[:40]!r} "
                    f"({type(value).__name__}) in {kind} row {number}."
                )
        try:
            prepared.append(_row(values, data, test=kind == "test"))
        except ValueError as error:
            raise ConfigError(f"{error} ({kind} row {number})") from error
    return Dataset.from_list(prepared)


def _columns(data: DataArguments, *, test: bool) -> dict[str, str]:
    names = ["prompt_column" if data.prompt_column else "text_column", "group_column"]
    if test and data.distribution_column is not None:
        names += ["options_column", "distribution_column"]
    else:
        names += ["completion_column", "label_column"]
    columns = {name: getattr(data, name) for name in names if getattr(data, name) is not None}
    if not {"options_column", "completion_column", "label_column"} & set(columns):
        raise ConfigError("Name `completion_column` or `label_column`, the column of the answer to train on.")
    return columns


def _row(values: dict[str, Any], data: DataArguments, *, test: bool) -> dict[str, Any]:
    text = values.get("prompt_column")
    result = {"prompt": f"{values['text_column']}{data.prompt_suffix}" if text is None else str(text)}
    if "group_column" in values:
        result["group"] = str(values["group_column"]).strip()
    if "options_column" in values:
        return result | _opinion(values["options_column"], values["distribution_column"])
    if "label_column" in values:
        result["label"] = str(values["label_column"]).strip()
    result["completion"] = f" {values.get('completion_column', result.get('label'))}"
    if test:
        return {**result, "candidates": [f" {label}" for label in sorted(data.stereotype_of())]}
    return result


def _opinion(options: Any, shares: Any) -> dict[str, Any]:
    if not isinstance(options, list) or not isinstance(shares, list):
        raise ValueError("`options_column` and `distribution_column` must hold lists, so take JSONL, not CSV.")
    if len(options) != len(shares) or len(options) < 2:
        raise ValueError(
            f"Options and shares must be equally many, and at least two, got {len(options)} and {len(shares)}."
        )
    values = np.asarray(shares, dtype=float)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.sum() > 0):
        raise ValueError("The shares of `distribution_column` must be at least 0, and not all of them 0.")
    return {"candidates": [f" {option}" for option in options], "distribution": values.tolist()}


def _named(source: str | None) -> str:
    assert source is not None  # checked with the configuration
    return source


def load_rows(source: str, field_name: str) -> Dataset:
    """
    Read a file or folder, or a data set of the Hub.

    Args:
        source (`str`):
            Path of a file that ends in `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet`, path of a folder, or id. Of a
            folder or a data set of the Hub the split `train` is read, or `test` for `test_file`.
        field_name (`str`):
            The key that named it, for errors.

    Returns:
        `Dataset`: The rows, at least one.

    Raises:
        ConfigError: If it is not there, cannot be read, is not UTF-8, or has no rows; if rows of a table differ in
            length, or two columns have one name.
    """
    try:
        return read_dataset(source, split="test" if field_name == "test_file" else "train")
    except ValueError as error:
        raise ConfigError(f"`{field_name}`: {error}") from error
