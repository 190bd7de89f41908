"""
Measure time and peak memory of an audit of 100,000 real and 100,000 augmented rows with given embeddings.

Run it as `OMP_NUM_THREADS=2 python benchmarks/audit.py`. It needs no download: texts are those of the testbed, the
embeddings are drawn at random and differ a little in their means. The audit is run as a command, in a process of its
own, so the numbers count the start of Python and the reading of the files. A second table gives its parts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mitigate.misalignment import distribution_misalignment, group_misalignment, read_features, surface_misalignment
from mitigate.misalignment.features import map_features
from mitigate.misalignment.surface import surface_within_labels
from mitigate.misalignment.tables import read_rows
from mitigate.world import World

SHIFT = 0.02  # standard deviations by which every coordinate of the augmented rows is moved


def _write(folder: Path, rows: int, width: int) -> list[Path]:
    """Write tables and embeddings; return the two tables, then the two arrays."""
    world = World()
    sides = {"real": world.real_rows(rows, seed=0), "augmented": world.augmented_rows(rows, dose=1.0, seed=0)}
    tables, arrays = [], []
    for number, (name, data) in enumerate(sides.items()):
        tables.append(folder / f"{name}.jsonl")
        with tables[-1].open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in data)
        arrays.append(folder / f"{name}.npy")
        rng = np.random.default_rng(number)
        np.save(arrays[-1], rng.standard_normal((rows, width), dtype=np.float32) + np.float32(SHIFT * number))
    return [*tables, *arrays]


def _run_command(folder: Path, files: list[Path]) -> tuple[float, float, float]:
    """Return seconds, seconds of a processor and peak memory in GiB of the whole command."""
    real, augmented, *arrays = map(str, files)
    columns = ["--text", "prompt", "--label", "label", "--group", "group"]
    command = [sys.executable, "-m", "mitigate.recipes.cli", "audit", real, augmented, *columns]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [*command, "--embeddings", *arrays, "--output_dir", str(folder / "out")], check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return seconds, processor, used.ru_maxrss / 2**20


def _parts(files: list[Path]) -> dict[str, float]:
    columns = {"text": "prompt", "label": "label", "group": "group"}
    seconds: dict[str, float] = {}

    def timed(name: str, part: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = part()
        seconds[name] = time.perf_counter() - start
        return result

    real, augmented = timed("read tables", lambda: [read_rows(path, **columns) for path in files[:2]])
    features = timed("check embeddings", lambda: read_features(files[2], files[3], (len(real), len(augmented))))
    labels = (real.labels or (), augmented.labels or ())
    timed("distributions, pooled", lambda: distribution_misalignment(features))
    timed("distributions, pooled and within labels", lambda: distribution_misalignment(features, labels=labels))
    timed("groups", lambda: group_misalignment(real.groups or (), augmented.groups or (), labels=labels))
    timed("surface", lambda: surface_misalignment(real.texts, augmented.texts))
    timed("surface within labels", lambda: surface_within_labels(real.texts, augmented.texts, labels))
    timed("map", lambda: map_features(features))
    return seconds


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000, help="Rows of either side.")
    parser.add_argument("--width", type=int, default=384, help="Width of the embeddings.")
    parser.add_argument("--rounds", type=int, default=1, help="Times that the command is run.")
    parser.add_argument("--parts", action="store_true", help="Time the parts as well, once.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _write(folder, options.rows, options.width)
        table = Table("round", "seconds", "processor seconds", "peak memory, GiB")
        table.title = f"mitigate audit, {options.rows:,} + {options.rows:,} rows, embeddings of width {options.width}"
        for number in range(options.rounds):
            seconds, processor, memory = _run_command(folder, files)
            table.add_row(f"{number + 1}", f"{seconds:.0f}", f"{processor:.0f}", f"{memory:.2f}")
        Console(width=100).print(table)
        if options.parts:
            parts = Table("part", "seconds")
            for part, seconds in _parts(files).items():
                parts.add_row(part, f"{seconds:.1f}")
            Console(width=100).print(parts)


if __name__ == "__main__":
    main()
