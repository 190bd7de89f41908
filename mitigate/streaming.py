"""Mix two streams at a bias ratio that holds all along the way."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from datasets import Features, IterableDataset, Value, interleave_datasets
from datasets.iterable_dataset import CyclingMultiSourcesExamplesIterable

from mitigate.mixing import check_bias_ratio, check_new_column, check_same_columns, check_seed
from mitigate.provenance import AUGMENTED_COLUMN

# Whole-number arithmetic: floats would miss that 0.29 of 100 rows are 29. It is far below what any stream can show.
_LARGEST_BLOCK = 10**9
_DRAWS = 1000


def mix_streams(
    real: IterableDataset,
    augmented: IterableDataset,
    *,
    bias_ratio: float,
    seed: int,
    column: str = AUGMENTED_COLUMN,
) -> IterableDataset:
    r"""
    Join a stream of real and one of augmented rows, with a column that tells them apart.

    Of the first \\( n \\) rows, \\( \rho n \\) are augmented, rounded up or down, for every \\( n \\): so the bias
    ratio is exact to one row at every point, and exact in every block of 10 rows at \\( \rho = 0.3 \\). Within this
    the order is random, and every row is augmented with probability \\( \rho \\): a fixed pattern could fall in step
    with batches, and give one device all augmented rows. `datasets.interleave_datasets` draws each source without
    regard to those before, and the ratio of its parts strays; apart from the choice of the source, this is the same.

    The mix ends with the first stream that ends. No more than the next row of each is held in memory.

    - Shuffle each stream before mixing. `shuffle(buffer_size=…)` on the mix works too; the ratio is then exact for the
      whole, and rows wander by about the size of the buffer.
    - Workers of a `DataLoader` share the shards of both streams, as do nodes (`split_dataset_by_node`) if their
      number divides that of the shards. Each then has the exact ratio; what is left over ends in each. Workers in
      excess of the shards of the stream that has fewer are idle. Nodes that take every n-th row instead have the
      ratio on average.
    - `state_dict` and `load_state_dict` resume at the next row, as far as the streams do; a shuffle buffer is filled
      anew.

    Args:
        real (`IterableDataset`):
            Real rows, in random order.
        augmented (`IterableDataset`):
            Augmented rows, with the same columns, in random order.
        bias_ratio (`float`):
            Bias ratio \\( \rho \\) in [0, 1).
        seed (`int`):
            Seed of the order of the sources, at least 0. Workers and epochs have orders of their own.
        column (`str`, *optional*, defaults to `"augmented"`):
            Name of the boolean column to add.

    Returns:
        `IterableDataset`: The mix. At a bias ratio of 0 it is the real rows, with the column.

    Raises:
        ValueError: If the bias ratio or the seed is out of range, the columns differ or cannot be known, or `column`
            is one of them.

    Example:
    ```python
    >>> from datasets import Dataset
    >>> from mitigate.streaming import mix_streams

    >>> real = Dataset.from_dict({"text": list("abcdef")}).to_iterable_dataset()
    >>> augmented = Dataset.from_dict({"text": list("ABC")}).to_iterable_dataset()
    >>> "".join(row["text"] for row in mix_streams(real, augmented, bias_ratio=0.5, seed=0))
    'aABbcC'
    ```
    """
    check_bias_ratio(bias_ratio)
    check_seed(seed)
    # A stream that was mapped does not know its columns before its first row was read.
    real, augmented = _with_features(real, "real"), _with_features(augmented, "augmented")
    check_same_columns(real.features, augmented.features)
    check_new_column(real.features, column)
    turns = interleave_datasets([_mark(real, column, False), _mark(augmented, column, True)])
    return IterableDataset(
        ex_iterable=_ProportionalTurns(turns._ex_iterable.ex_iterables, bias_ratio, (seed,)),
        info=turns.info,
        distributed=turns._distributed,
        token_per_repo_id=turns._token_per_repo_id,
    )


def _with_features(rows: IterableDataset, kind: str) -> IterableDataset:
    if not isinstance(rows, IterableDataset):
        raise ValueError(
            f"`{kind}` must be an `IterableDataset`, got {type(rows)}. Of a `Dataset` pass `to_iterable_dataset()`, "
            "of several splits one, or mix data sets in memory with `mitigate.mixing.mix`."
        )
    try:
        return rows._resolve_features()
    except StopIteration:
        raise ValueError(f"The stream of {kind} rows has no row, so that its columns are not known.") from None


def _mark(rows: IterableDataset, column: str, flag: bool) -> IterableDataset:
    features = Features({**rows.features, column: Value("bool")})
    return rows.map(_with_value, fn_kwargs={"column": column, "value": flag}, features=features)


def _with_value(row: dict[str, Any], column: str, value: bool) -> dict[str, Any]:
    return {**row, column: value}


class _ProportionalTurns(CyclingMultiSourcesExamplesIterable):  # type: ignore[misc]
    """
    Turns of two sources, of which the second has a given share.

    `datasets` has no public way to say whose turn it is, nor can a generator stand in for one: inside it, streams
    would be divided among the workers of a `DataLoader` a second time. So this overrides the choice of
    `interleave_datasets`, and with it all that makes a copy.
    """

    def __init__(self, sources: list[Any], share: float, seed: tuple[int, ...]) -> None:
        super().__init__(sources, stopping_strategy="first_exhausted")
        self._share, self._seed = share, seed

    def _get_indices_iterator(self) -> Iterator[int]:
        place = self._state_dict or {"rows": 0, "second": 0}
        share = Fraction(self._share).limit_denominator(_LARGEST_BLOCK)
        while True:
            number, start = divmod(place["rows"], _DRAWS)
            for draw in np.random.default_rng([*self._seed, number]).random(_DRAWS)[start:]:
                second = _is_second(place["rows"], place["second"], share, draw)
                place["rows"] += 1
                place["second"] += second
                yield int(second)

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict: dict[str, Any] = {**super()._init_state_dict(), "rows": 0, "second": 0}
        return self._state_dict

    def shuffle_data_sources(self, generator: np.random.Generator) -> _ProportionalTurns:
        return self._like(super().shuffle_data_sources(generator))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> _ProportionalTurns:
        return self._like(super().shard_data_sources(num_shards, index, contiguous))

    def reshard_data_sources(self) -> _ProportionalTurns:
        return self._like(super().reshard_data_sources())

    def shift_rngs(self, value: int) -> _ProportionalTurns:
        return _ProportionalTurns(self.ex_iterables, self._share, (*self._seed, value))

    def _like(self, turns: CyclingMultiSourcesExamplesIterable) -> _ProportionalTurns:
        return _ProportionalTurns(turns.ex_iterables, self._share, self._seed)


def _is_second(rows: int, second: int, share: Fraction, draw: float) -> bool:
    """
    Choose the source of the next row, so that the rows of the second stay its share, rounded up or down.

    With r the fraction that the share of the rows so far has beyond a whole number, they were rounded up with
    probability r; this keeps it so for the next row, whatever came before.
    """
    whole, rest = divmod(rows * share.numerator, share.denominator)
    next_whole, next_rest = divmod((rows + 1) * share.numerator, share.denominator)
    if next_whole > whole:
        return second == whole or draw * rest < next_rest
    return second == whole and draw * (share.denominator - rest) < share.numerator
