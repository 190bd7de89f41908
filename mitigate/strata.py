"""Strata: real and augmented rows that agree in given columns, such as the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from mitigate.mixing import check_same_type

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Strata:
    """
    The stratum of every row. Without columns all rows are in one.

    Args:
        names (`tuple[str, ...]`):
            Names of the `k` strata, such as `"label=nurse, topic=work"`, in the order in which the rows have them.
        real (`np.ndarray` of shape `(real rows,)`, int64):
            Number of each real row's stratum, in [0, k).
        augmented (`np.ndarray` of shape `(augmented rows,)`, int64):
            Likewise.
    """

    names: tuple[str, ...]
    real: Indices
    augmented: Indices

    def sizes(self) -> tuple[Indices, Indices]:
        """Real and augmented rows of each stratum, two arrays of shape `(k,)`."""
        count = len(self.names)
        return np.bincount(self.real, minlength=count), np.bincount(self.augmented, minlength=count)


def find_strata(real: Dataset, augmented: Dataset, columns: Sequence[str]) -> Strata:
    """
    Divide rows into strata by the values of columns.

    Args:
        real (`Dataset`):
            Real rows.
        augmented (`Dataset`):
            Augmented rows.
        columns (`Sequence[str]`):
            Columns of both; may be empty.

    Returns:
        `Strata`: Those that occur, on either side.

    Raises:
        ValueError: If a column is missing on a side or of two types, has rows without a value, or holds lists or the
            like.
    """
    if not columns:
        return Strata(("all rows",), np.zeros(len(real), np.int64), np.zeros(len(augmented), np.int64))
    codes = np.zeros(len(real) + len(augmented), np.int64)
    names = [""]
    for column in columns:
        values, numbers = _encode(real, augmented, column)
        found, codes = np.unique(codes * len(values) + numbers, return_inverse=True)
        names = [
            ", ".join(filter(None, [names[code // len(values)], f"{column}={values[code % len(values)]}"]))
            for code in found
        ]
    return Strata(tuple(names), codes[: len(real)], codes[len(real) :])


def column_values(rows: Dataset, column: str, kind: str) -> pa.ChunkedArray:
    """
    Read a column of which every row must have a value.

    Args:
        rows (`Dataset`):
            The rows.
        column (`str`):
            The column.
        kind (`str`):
            What the rows are, for the error: `"real"` or `"augmented"`.

    Returns:
        `pa.ChunkedArray`: The values in the order of the rows.

    Raises:
        ValueError: If there is no such column, or if a row has no value.
    """
    if column not in rows.column_names:
        raise ValueError(
            f"`{column}` is not a column of the {kind} rows (columns: {', '.join(rows.column_names)}). Add it, or "
            "name another."
        )
    values: pa.ChunkedArray = rows.select_columns([column]).with_format("arrow")[:][column]
    if values.null_count:
        raise ValueError(
            f"`{column}` has no value in {values.null_count} of the {len(rows)} {kind} rows. Fill it in, or leave "
            "these rows out."
        )
    return values


def _encode(real: Dataset, augmented: Dataset, column: str) -> tuple[list[object], Indices]:
    sides = [column_values(real, column, "real"), column_values(augmented, column, "augmented")]
    feature = real.features[column]
    if all(len(side) for side in sides):
        check_same_type(column, feature, augmented.features[column])
    chunks = [chunk for side in sides for chunk in side.chunks if len(chunk)]
    if not chunks:
        return [""], np.zeros(0, np.int64)
    try:
        encoded = pa.chunked_array(chunks).combine_chunks().dictionary_encode()
    except pa.ArrowNotImplementedError as error:
        raise ValueError(
            f"`{column}` must hold texts, numbers or booleans to divide rows by, got {feature}."
        ) from error
    values = encoded.dictionary.to_pylist()
    if isinstance(feature, ClassLabel):
        values = [feature.names[value] if 0 <= value < feature.num_classes else value for value in values]
    return values, encoded.indices.to_numpy().astype(np.int64)
