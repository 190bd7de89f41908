"""Analysis of sweeps over many tasks and bias types: the grid, named hypotheses, related against control tasks."""

from mitigate.grid.analysis import GridAnalysis, analyse_grid
from mitigate.grid.by_type import TypeEffect
from mitigate.grid.effects import MEAN_TYPE, Effect, TaskAnalysis
from mitigate.grid.frontier import FrontierPoint
from mitigate.grid.hypotheses import Hypothesis
from mitigate.grid.missing import MissingAnswers
from mitigate.grid.projection import TaskDescription, bias_types_of, mean_records, task_records
from mitigate.grid.related import EQUIVALENCE_BOUND, Equivalence, RelatedControl
from mitigate.grid.trend import Trend

__all__ = [
    "EQUIVALENCE_BOUND",
    "MEAN_TYPE",
    "Effect",
    "Equivalence",
    "FrontierPoint",
    "GridAnalysis",
    "Hypothesis",
    "MissingAnswers",
    "RelatedControl",
    "TaskAnalysis",
    "TaskDescription",
    "Trend",
    "TypeEffect",
    "analyse_grid",
    "bias_types_of",
    "mean_records",
    "task_records",
]
