"""Downstream tasks: what a model is asked, and how its answers are scored."""

from mitigate.tasks.answers import Decoding, choose, generate
from mitigate.tasks.base import GroupScores, Prompt, Readings, Scores, Task
from mitigate.tasks.registry import TASKS, evaluate, load_task
from mitigate.tasks.sources import Source

__all__ = [
    "TASKS",
    "Decoding",
    "GroupScores",
    "Prompt",
    "Readings",
    "Scores",
    "Source",
    "Task",
    "choose",
    "evaluate",
    "generate",
    "load_task",
]
