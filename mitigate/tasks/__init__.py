"""Downstream tasks: what a model is asked, and how its answers are scored."""

from mitigate.tasks.answers import Decoding, choose, generate
from mitigate.tasks.base import GroupScores, Prompt, Readings, Scores, Task
from mitigate.tasks.registry import TASKS, evaluate, evaluate_prompts, load_task
from mitigate.tasks.samples import Question, sample_prompts
from mitigate.tasks.sources import Source

__all__ = [
    "TASKS",
    "Decoding",
    "GroupScores",
    "Prompt",
    "Question",
    "Readings",
    "Scores",
    "Source",
    "Task",
    "choose",
    "evaluate",
    "evaluate_prompts",
    "generate",
    "load_task",
    "sample_prompts",
]
