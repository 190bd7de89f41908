"""
Measure how long it takes to draw each arm of a training mix of a million rows, and to match controls; and what optimal
matching would cost and bring.

Run it as `OMP_NUM_THREADS=1 python benchmarks/mixing.py`; it takes about five minutes. It needs no download: the rows
are made up. All take turns in one run; the tables give the median over the rounds, and the lowest and the highest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse
from datasets import Dataset, disable_progress_bars
from rich.console import Console
from rich.table import Table
from scipy.sparse.csgraph import maximum_bipartite_matching, min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from mitigate.arms import ARMS, draw_mix
from mitigate.controls import CALIPER, match_controls
from mitigate.streaming import mix_streams

ROWS, LABELS, BIAS_RATIO, ROUNDS = 1_000_000, 20, 0.3, 5
STREAMED, MATCHED, MATCHED_OPTIMALLY = 100_000, 100_000, 3_000
WORDS = np.array(["the", "nurse", "writes", "to", "a", "doctor", "who", "reads", "all", "of", "it", "today"])


def _make_rows(count: int, seed: int, shift: float = 0.0) -> Dataset:
    """Rows of twelve words; `shift` moves length and log-perplexity apart, in standard deviations."""
    rng = np.random.default_rng(seed)
    words = WORDS[rng.integers(0, len(WORDS), (count, 12))]
    return Dataset.from_dict(
        {
            "text": [" ".join(row) for row in words],
            "label": [f"label {number}" for number in rng.integers(0, LABELS, count)],
            "length": np.exp(rng.normal(4 + 0.5 * shift, 0.5, count)).round(),
            "log_perplexity": rng.normal(3 - 0.5 * shift, 0.5, count),
        }
    )


def _measure(ways: dict[str, Callable[[], int]]) -> dict[str, tuple[int, list[float]]]:
    seconds: dict[str, tuple[int, list[float]]] = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            rows = way()
            seconds.setdefault(name, (rows, []))[1].append(time.perf_counter() - start)
    return seconds


def _arms(real: Dataset, augmented: Dataset) -> dict[str, Callable[[], int]]:
    def draw(arm: str, copy: bool = False) -> int:
        # `add` is drawn to have about as many rows as the others.
        rows = round(ROWS * (1 - BIAS_RATIO)) if arm == "add" else ROWS
        mixed = draw_mix(real, augmented, rows=rows, bias_ratio=BIAS_RATIO, seed=0, arm=arm, label="label")
        return len(mixed.flatten_indices() if copy else mixed)

    def stream() -> int:
        streams = [rows.select(range(STREAMED)).to_iterable_dataset() for rows in (real, augmented)]
        return sum(1 for _ in mix_streams(*streams, bias_ratio=BIAS_RATIO, seed=0))

    ways: dict[str, Callable[[], int]] = {arm: lambda arm=arm: draw(arm) for arm in ARMS}
    return {
        **ways,
        "replace, copied in order": lambda: draw("replace", copy=True),
        "mix_streams, read through": stream,
    }


def _controls() -> dict[str, Callable[[], int]]:
    real = _make_rows(MATCHED, 2)
    sides = {f"shifted by {shift:g} SD": _make_rows(MATCHED, 3, shift) for shift in (0.0, 0.5, 1.0)}
    covariates = ["length", "log_perplexity"]
    return {
        f"{name}, {'label equal' if exact else 'any label'}": (
            lambda rows=rows, exact=exact: len(match_controls(real, rows, covariates=covariates, exact=exact).real)
        )
        for name, rows in sides.items()
        for exact in ([], ["label"])
    }


def _compare_matchings() -> None:
    """Greedy matching beside the two optimal ones of scipy: all pairs within the caliper are edges of a graph."""
    draws = np.random.default_rng(0)
    real = draws.normal(size=(MATCHED_OPTIMALLY, 2))
    augmented = draws.normal((0.5, -0.5), 1, size=(MATCHED_OPTIMALLY, 2))
    deviations = np.sqrt((real.var(axis=0, ddof=1) + augmented.var(axis=0, ddof=1)) / 2)
    real, augmented = real / deviations, augmented / deviations

    def greedy() -> tuple[np.ndarray, np.ndarray]:
        sides = (Dataset.from_dict({"x": p[:, 0], "y": p[:, 1], "row": range(len(p))}) for p in (real, augmented))
        matched = match_controls(*sides, covariates=["x", "y"])
        return np.array(matched.real["row"]), np.array(matched.augmented["row"])

    def graph() -> scipy.sparse.csr_array:
        edges = KDTree(augmented).sparse_distance_matrix(KDTree(real), CALIPER, p=np.inf, output_type="coo_matrix")
        return scipy.sparse.csr_array(edges)

    def most_pairs() -> tuple[np.ndarray, np.ndarray]:
        partners = maximum_bipartite_matching(graph(), perm_type="column")
        return partners[partners >= 0], np.flatnonzero(partners >= 0)

    def closest_pairs() -> tuple[np.ndarray, np.ndarray]:
        # It wants a partner for each row: of those that have none, one far away.
        nobody = scipy.sparse.diags_array(np.full(MATCHED_OPTIMALLY, 1e3))
        chosen, partners = min_weight_full_bipartite_matching(scipy.sparse.hstack([graph(), nobody]).tocsr())
        return partners[partners < MATCHED_OPTIMALLY], chosen[partners < MATCHED_OPTIMALLY]

    table = Table("way", "pairs", "difference", "seconds", title=f"Matching of {MATCHED_OPTIMALLY:,} rows a side")
    for way in (greedy, most_pairs, closest_pairs):
        start = time.perf_counter()
        own, other = way()
        seconds = time.perf_counter() - start
        difference = np.abs(real[own].mean(axis=0) - augmented[other].mean(axis=0)).max()
        table.add_row(way.__name__, f"{len(own):,}", f"{difference:.3f}", f"{seconds:.2f}")
    Console(width=110).print(table)


def _print(title: str, unit: str, ways: dict[str, Callable[[], int]]) -> None:
    table = Table("way", unit, "seconds", title=title)
    for name, (rows, seconds) in _measure(ways).items():
        table.add_row(name, f"{rows:,}", f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})")
    Console(width=110).print(table)


def main() -> None:
    """Measure, and print the tables."""
    disable_progress_bars()
    real, augmented = _make_rows(ROWS, 0), _make_rows(ROWS, 1)
    title = f"Mixes from {ROWS:,} real and {ROWS:,} augmented rows, bias ratio {BIAS_RATIO:g}, {LABELS} labels"
    _print(title, "rows", _arms(real, augmented))
    _print(f"Controls from {MATCHED:,} rows a side, length and log-perplexity", "pairs", _controls())
    _compare_matchings()


if __name__ == "__main__":
    main()
