"""Watch that the model sees augmented rows, and as many as the data set holds."""

from __future__ import annotations

import math
import warnings
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mitigate.callbacks.checks import check_provenance
from mitigate.callbacks.host import (
    act_on_rows,
    acting_collator,
    calling_trainer,
    keep_column,
    provenance_source,
    report_first,
)
from mitigate.provenance import AUGMENTED_COLUMN, ProvenanceSource
from mitigate.vocabulary import tag_id
from mitigate.warnings import PATIENCE, NoEffectWarning

# Fewer rows say little about the bias ratio.
_ENOUGH = 200
# Standard errors by which the seen bias ratio may depart from the data set's: chance exceeds them once in 16,000.
_TOLERANCE = 4.0


class ProvenanceMonitor(TrainerCallback):
    r"""
    Check before training that real and augmented rows can be told apart, and count in training what the model sees.

    The other callbacks of this package bring one along, so it is needed by itself only to watch an unmitigated run.

    The logs of the training loss get, each over what was collated in this process since the last log:

    - `provenance/bias_ratio`: augmented rows / all rows;
    - `provenance/augmented_tokens`: tokens of augmented rows / all tokens, without padding;
    - `provenance/<edits>` for each mitigation that edits rows (`masked_words`, `tags`): edits / augmented rows.

    A warning is given if the bias ratio seen so far departs from that of the data set by more than chance explains
    (more than \\( 4 \sqrt{\rho (1 - \rho) / n} \\) after \\( n \ge 200 \\) rows), which happens where a sampler, a
    sorted data set or a curriculum decides which rows come by; and if no augmented row came by at all.

    Args:
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column of the training data set that tells augmented rows.
        tag (`str`, *optional*):
            Token that marks augmented text in data sets without the column. The tags of a [`BiasTagTokenizer`] are
            known without it.

    Attributes:
        source (`ProvenanceSource`):
            What tells augmented rows; there from the beginning of the training on.

    Raises:
        ValueError: When training starts, if no row is augmented or all are, or if the tag is not in the vocabulary.
        ProvenanceError: When training starts, if real and augmented rows cannot be told apart.

    Example:
    ```python
    >>> from mitigate.callbacks import ProvenanceMonitor

    >>> trainer = SFTTrainer(..., callbacks=[ProvenanceMonitor()])
    ```

    Limits: rows are counted when they are collated, some batches ahead of the model; a resumed run counts anew, with
    the rows that it skips.
    """

    source: ProvenanceSource

    def __init__(self, column: str = AUGMENTED_COLUMN, *, tag: str | None = None) -> None:
        self.column = column
        self.tag = tag
        self._expected: float | None = None
        self._loader: Any = None
        self._warned = False
        self._logged: dict[str, int] = {}
        self._epoch: int | None = None

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the provenance column alive, and be called before the other callbacks from now on."""
        trainer = calling_trainer()
        keep_column(trainer, self.column)
        report_first(trainer, self)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the data, and count its rows from now on."""
        trainer = calling_trainer()
        tag_ids = [] if self.tag is None else [tag_id(kwargs["processing_class"], self.tag)]
        self.source = provenance_source(trainer, self.column, tag_ids)
        self._expected = check_provenance(trainer, self.source)
        self._loader = kwargs["train_dataloader"]
        act_on_rows(trainer, self._loader, self.source)
        self._warned = False
        self._logged = {}
        self._epoch = None

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Have everything that is random in the rows drawn anew."""
        # Counted, for the epoch of the state stands still where the length of the data is not known.
        self._epoch = int(state.epoch or 0) if self._epoch is None else self._epoch + 1
        acting_collator(self._loader).epoch = self._epoch

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add the counts to the logs of the training loss."""
        logs: dict[str, Any] = kwargs["logs"]
        if "loss" not in logs or self._loader is None:
            return
        totals = acting_collator(self._loader).tally.totals()
        new = {name: count - self._logged.get(name, 0) for name, count in totals.items()}
        self._logged = totals
        self._warn_of_drift(totals)
        values = _shares(new)
        logs.update(values)
        # The history got a copy of the logs before the callbacks were called.
        state.log_history[-1].update(values)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look a last time."""
        totals = acting_collator(self._loader).tally.totals()
        self._warn_of_drift(totals)
        if totals["augmented_rows"] == 0:
            self._warn_of_none(totals["real_rows"])
        self._loader = None

    def _warn_of_drift(self, totals: dict[str, int]) -> None:
        rows = totals["real_rows"] + totals["augmented_rows"]
        if self._warned or rows < _ENOUGH:
            return
        if totals["augmented_rows"] == 0 and rows >= PATIENCE:
            self._warn_of_none(rows)
        elif self._expected is not None:
            seen, expected = totals["augmented_rows"] / rows, self._expected
            if abs(seen - expected) > _TOLERANCE * math.sqrt(expected * (1 - expected) / rows):
                self._warned = True
                warnings.warn(
                    f"The bias ratio of the {rows} rows seen so far is {seen:.3f}, and that of the data set is "
                    f"{expected:.3f}: something but chance decides which rows come by (an unshuffled data set, a "
                    "sampler, a curriculum?). Shuffle the rows, or read the results with the seen bias ratio in mind.",
                    UserWarning,
                    stacklevel=2,
                )

    def _warn_of_none(self, rows: int) -> None:
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"None of the {rows} rows seen so far is augmented, so nothing was mitigated: check column "
            f"`{self.column}`, or shuffle the rows.",
            NoEffectWarning,
            stacklevel=2,
        )


def ensure_monitor(trainer: Trainer, column: str, tag: str | None = None) -> ProvenanceMonitor:
    """
    Give the monitor of a trainer that is being constructed, and make one if there is none.

    Args:
        trainer (`Trainer`):
            The trainer.
        column (`str`):
            Column that tells augmented rows.
        tag (`str`, *optional*):
            Token that does where there is no column.

    Returns:
        `ProvenanceMonitor`: One of the trainer's callbacks.

    Raises:
        ValueError: If there is one that reads another column.
    """
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ProvenanceMonitor):
            if callback.column != column:
                raise ValueError(
                    f"Two callbacks of one trainer read different columns, `{callback.column}` and `{column}`: give "
                    "both the same `column`."
                )
            callback.tag = callback.tag or tag
            return callback
    monitor = ProvenanceMonitor(column, tag=tag)
    # Appended to the list that is being gone through, so it gets this event as well.
    trainer.add_callback(monitor)
    return monitor


def _shares(counts: dict[str, int]) -> dict[str, float]:
    real, augmented, real_tokens, augmented_tokens = (
        counts.pop(f"{kind}_{unit}") for unit in ("rows", "tokens") for kind in ("real", "augmented")
    )
    if real + augmented == 0:
        return {}
    shares = {
        "provenance/bias_ratio": augmented / (real + augmented),
        "provenance/augmented_tokens": augmented_tokens / max(1, real_tokens + augmented_tokens),
    }
    return shares | {f"provenance/{name}": count / max(1, augmented) for name, count in counts.items()}
