"""Callbacks that mitigate bias inheritance in any Hugging Face trainer, and one that measures it."""

from mitigate.callbacks.alignment import AlignmentLossCallback
from mitigate.callbacks.down_weighting import DownWeightCallback
from mitigate.callbacks.evaluation import BiasEvaluationCallback
from mitigate.callbacks.mitigation import MitigationCallback
from mitigate.callbacks.monitor import ProvenanceMonitor

__all__ = [
    "AlignmentLossCallback",
    "BiasEvaluationCallback",
    "DownWeightCallback",
    "MitigationCallback",
    "ProvenanceMonitor",
]
