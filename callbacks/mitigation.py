"""Any mix of the three mitigations in an existing trainer, with one callback."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from mitigate.callbacks.alignment import AlignmentLossCallback
from mitigate.callbacks.checks import check_provenance
from mitigate.callbacks.host import (
    act_on_rows,
    calling_trainer,
    keep_column,
    require_constructor,
    training_rows,
)
from mitigate.collation import RowStep
from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.masks import MaskSensitiveWords
from mitigate.provenance import AUGMENTED_COLUMN, as_lists, row_segments
from mitigate.tags import BiasTagTokenizer, InsertTag, Position, check_tagging
from mitigate.vocabulary import embedding_matrix, ensure_special_token, fit_embeddings, has_plain_embeddings
from mitigate.warnings import NoEffectWarning

logger = logging.getLogger(__name__)

# Augmented rows that are searched for sensitive words before training.
_PROBED_ROWS = 1000


class MitigationCallback(TrainerCallback):
    r"""
    Install token-, mask- and loss-based mitigation, in any mix, in an existing trainer.

    The data set needs nothing but a boolean column that tells augmented rows. What the mitigations need of the
    vocabulary is made when the trainer is constructed: a tag, a placeholder, and embeddings for them where the
    vocabulary has no token in reserve.

    Args:
        token (`bool` or `"paired"`, *optional*, defaults to `False`):
            Whether augmented rows get a tag; with `"paired"`, real rows get another (use it at inference then). If the
            trainer's tokenizer is a [`BiasTagTokenizer`], its tags are used.
        mask (`str`, `Path`, `Lexicon` or an iterable of them, *optional*):
            The sensitive words to mask in augmented rows, such as `"gender"`; see [`mitigate.lexicons.load_lexicon`].
        loss (`str`, *optional*):
            Discrepancy of the alignment loss: `"mean"`, `"coral"` or `"mmd"`; see [`AlignmentLossCallback`].
        loss_weight (`float`, *optional*, defaults to 0.1):
            Weight of the alignment loss.
        tag_position (`"start"` or `"answer"`, *optional*, defaults to `"start"`):
            Where the tag goes: before the text, or right before the answer, which needs rows of prompt and completion.
        tag_dropout (`float`, *optional*, defaults to 0.0):
            Probability in [0, 1) that a row stays without its tag, drawn anew each epoch.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column of the training data set that tells augmented rows.

    Attributes:
        real_tag (`str` or `None`):
            The tag of real rows, once the trainer is constructed; `None` unless the tags are paired.

    Raises:
        ValueError: If nothing is chosen; if a lexicon or discrepancy is unknown, a lexicon is empty, or a number is
            out of range. When the trainer is constructed: if a token must be added after an optimizer was made. When
            training starts: if no row is augmented, or all are.
        ProvenanceError: When training starts, if real and augmented rows cannot be told apart.

    Example:
    ```python
    >>> from mitigate.callbacks import MitigationCallback

    >>> trainer = SFTTrainer(..., callbacks=[MitigationCallback(token=True, mask="gender", loss="mmd")])
    ```

    Limits: a tag makes each row one token longer than `max_length` may say. With packing every column is gone, so tag
    the data set beforehand ([`BiasTagTokenizer.tag`]).
    """

    def __init__(
        self,
        *,
        token: bool | Literal["paired"] = False,
        mask: str | Path | Lexicon | Iterable[str | Path | Lexicon] | None = None,
        loss: str | None = None,
        loss_weight: float = 0.1,
        tag_position: Position = "start",
        tag_dropout: float = 0.0,
        column: str = AUGMENTED_COLUMN,
    ) -> None:
        if not token and mask is None and loss is None:
            raise ValueError("`MitigationCallback` was given nothing to do: set `token`, `mask` or `loss`.")
        if token not in (False, True, "paired"):
            raise ValueError(f"`token` must be True, False or 'paired', got {token!r}.")
        if isinstance(mask, bool) or isinstance(loss, bool):
            raise ValueError("`mask` is a lexicon, such as 'gender', and `loss` a discrepancy, such as 'mmd'.")
        check_tagging(tag_position, tag_dropout)
        self.token = token
        self.lexicon = None if mask is None else load_lexicon(mask)
        self.tag_position: Position = tag_position
        self.tag_dropout = tag_dropout
        self.column = column
        self._alignment = None if loss is None else AlignmentLossCallback(loss_weight, discrepancy=loss, column=column)
        self.real_tag: str | None = None
        self._trainer: Trainer | None = None
        self._steps: list[RowStep] = []
        self._tag_ids: list[int] = []

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the provenance column, and fit vocabulary and model."""
        trainer = self._trainer = calling_trainer()
        keep_column(trainer, self.column)
        tokenizer = kwargs["processing_class"]
        if (self.token or self.lexicon) and not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise ValueError(
                f"`token` and `mask` need the trainer to have a tokenizer, got `{type(tokenizer).__name__}`: pass "
                "`processing_class=tokenizer` to it."
            )
        self._steps = []
        if self.lexicon is not None:
            self._steps.append(self._mask(tokenizer, self.lexicon))
        if self.token:
            self._steps.append(self._tag(tokenizer, args.seed))
        model: PreTrainedModel = kwargs["model"]
        if self._steps:
            self._fit_embeddings(trainer, model, tokenizer)
        if isinstance(tokenizer, BiasTagTokenizer):
            self._tag_ids = [tokenizer.augmented_tag_id]
        if self._alignment is not None:
            # Appended to the list that is being gone through, so it gets this event as well.
            trainer.add_callback(self._alignment)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the data, and act on its rows from now on."""
        trainer = calling_trainer()
        require_constructor(self, trainer, self._trainer)
        check_provenance(trainer, self.column, self._tag_ids)
        for step in self._steps:
            if isinstance(step, MaskSensitiveWords):
                self._check_mask(trainer, step)
        loader = kwargs["train_dataloader"]
        act_on_rows(trainer, loader, column=self.column, tag_ids=self._tag_ids, steps=self._steps, emit=False)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Have the tag dropout drawn anew."""
        for step in self._steps:
            if isinstance(step, InsertTag):
                step.epoch = int(state.epoch or 0)

    def _tag(self, tokenizer: PreTrainedTokenizerBase, seed: int) -> InsertTag:
        if isinstance(tokenizer, BiasTagTokenizer):
            augmented, real = tokenizer.augmented_tag, tokenizer.real_tag
        else:
            augmented = ensure_special_token(tokenizer, None, "<|augmented|>", taken=[str(tokenizer.mask_token)])
            real = None
        if self.token == "paired" and real is None:
            real = ensure_special_token(tokenizer, None, "<|real|>", taken=[augmented, str(tokenizer.mask_token)])
        self.real_tag = real
        return InsertTag(tokenizer, augmented, real, position=self.tag_position, dropout=self.tag_dropout, seed=seed)

    def _mask(self, tokenizer: PreTrainedTokenizerBase, lexicon: Lexicon) -> MaskSensitiveWords:
        if tokenizer.mask_token is None:
            taken = [tokenizer.augmented_tag] if isinstance(tokenizer, BiasTagTokenizer) else []
            placeholder = ensure_special_token(tokenizer, None, "<|masked|>", taken=taken)
            tokenizer.add_special_tokens({"mask_token": placeholder})
        return MaskSensitiveWords(tokenizer, lexicon)

    def _fit_embeddings(self, trainer: Trainer, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if fit_embeddings(model, tokenizer) and trainer.optimizer is not None:
            raise ValueError(
                "The mitigation had to add tokens to the model, but the optimizer passed to the trainer was made "
                "before and would leave their embeddings untrained. Pass no `optimizers`, or add the tokens first, "
                "with `BiasTagTokenizer.wrap` and `model.resize_token_embeddings`."
            )
        if self.token and has_plain_embeddings(model) and not embedding_matrix(model).requires_grad:
            logger.warning(
                "The model's embeddings are frozen (LoRA?), so that of the tag is not trained and the tag may mean "
                "little. To train it: `tokenizer = BiasTagTokenizer.wrap(tokenizer)`, then "
                "`model.resize_token_embeddings(len(tokenizer))` if the tokenizer outgrew the model, then "
                "`LoraConfig(trainable_token_indices=[tokenizer.augmented_tag_id], ensure_weight_tying=True)`."
            )

    def _check_mask(self, trainer: Trainer, step: MaskSensitiveWords) -> None:
        rows = 0
        for row in islice(iter(training_rows(trainer)), 10 * _PROBED_ROWS):
            row = as_lists(row, self.column)
            for segment in row_segments(row, column=self.column, tag_ids=self._tag_ids):
                if segment.augmented and step.matcher.find(row["input_ids"][segment.start : segment.stop]):
                    return
                rows += segment.augmented
            if rows >= _PROBED_ROWS:
                break
        warnings.warn(
            f"None of the first {rows} augmented rows holds a word of the lexicon '{step.matcher.lexicon.name}', so "
            "masking changes nothing in them: is it the lexicon for this language and this kind of bias?",
            NoEffectWarning,
            stacklevel=2,
        )
