r"""
What the bias dose and the bias ratio do to bias, each while the other is fixed, read from the cells of a sweep.

    python recipes/dose.py --config recipes/dose.yaml

Dose: the slope dB/dq at every bias ratio above 0, with an interval over seeds. Ratio: the slope dB/dρ of balanced rows
(q = 0.5), tested to be too small to matter, and the same beside the arm of real rows alone. Check: the association in
the text follows q. The page `docs/dose.md` has the tables of the shipped configuration.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from datasets import Dataset

from mitigate import stats
from mitigate.cells import Sweep, read_cells
from mitigate.dose import bias_dose, group_label_association, stereotyped_share
from mitigate.intervals import Interval
from mitigate.recipes.cell import make_task
from mitigate.recipes.config import ConfigError, SweepConfig, parse_config
from mitigate.recipes.grid import cells_of
from mitigate.recipes.records import read_records, records_folder
from mitigate.recipes.tasks import WorldTask

# The smallest slope of balanced rows that would matter, per +0.10 of ρ: one point of the TPR gap. Set before any cell
# was trained, by the usual bound of one point for metrics in percent. It is not to be tuned to a result.
BOUND = 0.01
UNIT = 0.10


def main(arguments: list[str] | None = None) -> int:
    """
    Print the tables of a sweep that was run.

    Args:
        arguments (`list[str]`, *optional*):
            Command line, as of the sweep; by default the program's.

    Returns:
        `int`: 0; 2 if the configuration cannot be run or no cell of it was.
    """
    try:
        config = parse_config(sys.argv[1:] if arguments is None else arguments)
        sweep = _load(config)
        tables = [dose_table(sweep), ratio_table(sweep), check_table(config)]
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n\n".join(tables))
    return 0


def dose_table(sweep: Sweep) -> str:
    """
    Tell the slope dB/dq at every bias ratio above 0.

    Args:
        sweep (`Sweep`):
            The cells.

    Returns:
        `str`: A table in Markdown, per +1 of q: from all against the stereotype to all with it.
    """
    rows, slopes = [], {}
    for ratio in (ratio for ratio in sweep.ratios if ratio > 0):
        models = [cell for cell in sweep.metrics if cell.bias_ratio == ratio and cell.mitigation == "none"]
        shares = [stereotyped_share(cell.dose) for cell in models]
        values = [sweep.metrics[cell]["bias"] for cell in models]
        slopes[ratio] = list(stats.seed_slopes(shares, values, [cell.seed for cell in models]).values())
    tests = [stats.mean_p(values) for values in slopes.values()]
    for (ratio, values), p, corrected in zip(slopes.items(), tests, stats.holm(tests), strict=True):
        slope = stats.mean_interval(values)
        interval = _interval(slope, 3)
        rows.append([f"{ratio:g}", f"{slope.estimate:+.3f}", interval, f"{slope.n}", _p(p, 1), _p(corrected, 1)])
    return _markdown(["ρ", "dB/dq", "95% interval", "seeds", "p", "p (Holm)"], rows)


def ratio_table(sweep: Sweep) -> str:
    """
    Tell the slope dB/dρ of balanced rows, and whether it is too small to matter.

    If the arm `drop` was run at dose 0, a second line has the slope of what sets the mix apart from its real rows
    alone, at equal steps: that of the augmented rows, without that of having fewer real ones.

    Args:
        sweep (`Sweep`):
            The cells, with some of dose 0.

    Returns:
        `str`: A table in Markdown, per +0.10 of ρ, with the 90% interval that belongs to the test.

    Raises:
        ConfigError: If no cell of dose 0 was run.
    """
    balanced, dropped = (_bias(sweep, mitigation) for mitigation in ("none", "drop"))
    if len({ratio for ratio, _ in balanced}) < 2:
        raise ConfigError("No balanced rows were trained on: `doses` must hold 0, which is q = 0.5.")
    beside = {place: bias - dropped[place] for place, bias in balanced.items() if place in dropped}
    lines = {"replace": balanced}
    if len({ratio for ratio, _ in beside}) > 1:
        lines["replace − drop"] = beside
    headings = ["arm", "dB/dρ at q = 0.5, per +0.10 of ρ", "90% interval", "seeds", "bound", "p (TOST)", "verdict"]
    return _markdown(headings, [_equivalence(name, values) for name, values in lines.items()])


def _bias(sweep: Sweep, mitigation: str) -> dict[tuple[float, int], float]:
    """Bias of balanced rows by bias ratio and seed."""
    return {(cell.bias_ratio, cell.seed): metrics["bias"] for cell, metrics in sweep.models(mitigation, 0.0)}


def _equivalence(name: str, values: dict[tuple[float, int], float]) -> list[str]:
    slopes = stats.seed_slopes([ratio for ratio, _ in values], list(values.values()), [seed for _, seed in values])
    scaled = [slope * UNIT for slope in slopes.values()]
    slope, p = stats.mean_interval(scaled, 0.9), stats.equivalence_p(scaled, BOUND)
    verdict = "too small to matter" if p < 0.05 else "not shown to be too small to matter"
    verdict = "not testable: all seeds gave the same slope" if len(scaled) > 1 and math.isnan(p) else verdict
    interval = _interval(slope, 4)
    return [name, f"{slope.estimate:+.4f}", interval, f"{slope.n}", f"±{BOUND:g}", _p(p, 2), verdict]


def _interval(interval: Interval, places: int) -> str:
    if interval.is_constant:
        return "none: all seeds gave the same"
    return f"{interval.low:+.{places}f} to {interval.high:+.{places}f}"


def _p(p: float, digits: int) -> str:
    return "–" if math.isnan(p) else f"{p:.{digits}g}"


def check_table(config: SweepConfig) -> str:
    """
    Check the manipulation: the association of group and label in the augmented rows must follow q in a line.

    The group is read from the text of the rows, by the words of the testbed, and not from their column.

    Args:
        config (`SweepConfig`):
            The configuration of a sweep of the testbed, with at least three doses.

    Returns:
        `str`: A table in Markdown, with 95% intervals over seeds: slope, value at q = 0.5, and curvature. The slope to
        expect is 2, since the association is a dose.

    Raises:
        ConfigError: If the configuration is of another task, or has fewer than three doses or two seeds.
    """
    task = make_task(config)
    if not isinstance(task, WorldTask):
        raise ConfigError("The manipulation check reads the groups of the testbed: set `task: world`.")
    if len(config.grid.doses) < 3 or len(config.grid.seeds) < 2:
        raise ConfigError(
            f"A line needs at least three `doses` and two `seeds`, got {config.grid.doses} and {config.grid.seeds}."
        )
    shares = [stereotyped_share(dose) - stereotyped_share(0) for dose in config.grid.doses]
    count = round(config.fit.training_rows * max(config.grid.bias_ratios))
    found: dict[tuple[str, float], list[float]] = {("slope over q", bias_dose(1) - bias_dose(0)): []}
    found |= {("at q = 0.5", 0.0): [], ("curvature, per q²", 0.0): []}
    for seed in config.grid.seeds:
        associations = [_association(task, task.augmented(count, dose=dose, seed=seed)) for dose in config.grid.doses]
        line, curve = (np.polyfit(shares, associations, degree) for degree in (1, 2))
        for values, value in zip(found.values(), (*line, curve[0]), strict=True):
            values.append(float(value))
    intervals = [(name, stats.mean_interval(values), wanted) for (name, wanted), values in found.items()]
    rows = [[name, f"{i.estimate:+.3f}", _interval(i, 3), f"{wanted:g}"] for name, i, wanted in intervals]
    return _markdown(["association in the text", "estimate", "95% interval", "to expect"], rows)


def _association(task: WorldTask, rows: Dataset) -> float:
    groups = [task.world.group_of(text) for text in rows["prompt"]]
    return group_label_association(groups, list(rows["label"]), task.world.stereotypes)


def _markdown(headings: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, ["---"] * len(headings), *rows])


def _load(config: SweepConfig) -> Sweep:
    sweep = read_cells(read_records(config))
    if not sweep.metrics:
        raise ConfigError(
            f"`output_dir`: {records_folder(config)} holds no finished cell of this configuration. Run the sweep "
            "first."
        )
    cells = len(cells_of(config))
    missing = cells - len(sweep.metrics)
    if missing:
        print(f"{missing} of {cells} cells are missing or failed; the tables leave them out.", file=sys.stderr)
    return sweep


if __name__ == "__main__":
    sys.exit(main())
