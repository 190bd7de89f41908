"""Any mix of the three mitigations in an existing trainer, with one callback."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from itertools import islice
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

from mitigate.batches import TextStep, read_texts
from mitigate.callbacks.alignment import AlignmentLossCallback
from mitigate.callbacks.down_weighting import DownWeightCallback
from mitigate.callbacks.host import act_on_rows, calling_trainer, require_constructor, training_rows
from mitigate.callbacks.monitor import ensure_monitor
from mitigate.masks import MaskConfig, MaskSensitiveWords, ensure_mask_tokens
from mitigate.masks.config import Words
from mitigate.provenance import AUGMENTED_COLUMN, ProvenanceSource
from mitigate.tags import BiasTagTokenizer, TokenPosition, WriteTags, check_tagging
from mitigate.tags.steps import NOTICE
from mitigate.vocabulary import (
    embedding_matrix,
    embedding_rows,
    ensure_special_token,
    fit_embeddings,
    has_plain_embeddings,
)
from mitigate.warnings import NoEffectWarning
from mitigate.words import Finder

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
        token (`bool`, `"paired"` or `"notice"`, *optional*, defaults to `False`):
            Whether augmented rows get a tag; with `"paired"`, real rows get another (use it at inference then); with
            `"notice"`, augmented rows get a sentence instead. If the trainer's tokenizer is a [`BiasTagTokenizer`],
            its tags are used, and those that the rows carry already are kept; hidden ones become visible.
        mask (`str`, `Path`, `Lexicon`, an iterable of them, a callable or a `MaskConfig`, *optional*):
            The sensitive words to mask in augmented rows, such as `"gender"`. A [`mitigate.MaskConfig`] tells more:
            what takes their place, how often, and other words as a control.
        loss (`str` or `AlignmentLossCallback`, *optional*):
            Discrepancy of the alignment loss: `"mean"`, `"coral"`, `"mmd"`, `"energy"` or `"sliced_wasserstein"`. A
            callback of your own making tells more; then `loss_weight` is not used.
        loss_weight (`float`, *optional*, defaults to 0.1):
            Weight of the alignment loss.
        tag_position (`"start"` or `"answer"`, *optional*, defaults to `"start"`):
            Where the tag goes: before the text, or right before the answer, which needs rows of prompt and completion.
        tag_dropout (`float`, *optional*, defaults to 0.0):
            Probability in [0, 1) that a row stays without its tag, drawn anew each epoch.
        notice (`str`, *optional*):
            The sentence that `token="notice"` puts before augmented text.
        augmented_weight (`float`, *optional*):
            Weight of augmented rows in the loss, in [0, 1], see [`DownWeightCallback`]. By default they count as real
            rows do.
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
    the data set beforehand, best with a tokenizer that hides the tag: `BiasTagTokenizer.wrap(tokenizer, hidden=True)`.
    """

    def __init__(
        self,
        *,
        token: bool | Literal["paired", "notice"] = False,
        mask: Words | Finder | MaskConfig | None = None,
        loss: str | AlignmentLossCallback | None = None,
        loss_weight: float = 0.1,
        tag_position: TokenPosition = "start",
        tag_dropout: float = 0.0,
        notice: str = NOTICE,
        augmented_weight: float | None = None,
        column: str = AUGMENTED_COLUMN,
    ) -> None:
        if not token and mask is None and loss is None and augmented_weight is None:
            raise ValueError(
                "`MitigationCallback` was given nothing to do: set `token`, `mask`, `loss` or `augmented_weight`."
            )
        if token not in (False, True, "paired", "notice"):
            raise ValueError(f"`token` must be True, False, 'paired' or 'notice', got {token!r}.")
        if isinstance(mask, bool) or isinstance(loss, bool):
            raise ValueError("`mask` is a lexicon, such as 'gender', and `loss` a discrepancy, such as 'mmd'.")
        check_tagging(tag_position, tag_dropout)
        self.token = token
        self.mask = mask if mask is None or isinstance(mask, MaskConfig) else MaskConfig(mask)
        self.tag_position: TokenPosition = tag_position
        self.tag_dropout = tag_dropout
        self.notice = notice
        self.column = column
        made = AlignmentLossCallback(loss_weight, discrepancy=loss, column=column) if isinstance(loss, str) else loss
        self._alignment = made
        self._down_weighting = None
        if augmented_weight is not None:
            self._down_weighting = DownWeightCallback(augmented_weight, column=column)
        self.real_tag: str | None = None
        self._placeholders: list[str] = []
        self._trainer: Trainer | None = None
        self._steps: list[TextStep] = []

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the provenance column, and fit vocabulary and model."""
        trainer = self._trainer = calling_trainer()
        self._monitor = ensure_monitor(trainer, self.column)
        tokenizer = kwargs["processing_class"]
        if (self.token or self.mask) and not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise ValueError(
                f"`token` and `mask` need the trainer to have a tokenizer, got `{type(tokenizer).__name__}`: pass "
                "`processing_class=tokenizer` to it."
            )
        self._steps = []
        if self.mask is not None:
            seed = args.seed if self.mask.seed is None else self.mask.seed
            self._steps.append(self._mask(tokenizer, replace(self.mask, seed=seed)))
        if self.token:
            self._steps.append(self._tag(tokenizer, args.seed))
        model: PreTrainedModel = kwargs["model"]
        if self._steps:
            _refuse_precomputed(args)
            self._fit_embeddings(trainer, model, tokenizer)
            if trainer.model_init is not None:
                trainer.model_init = _fitting(trainer.model_init, tokenizer)
        for callback in (self._alignment, self._down_weighting):
            if callback is not None:
                # Appended to the list that is being gone through, so it gets this event as well.
                trainer.add_callback(callback)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the data, and act on its rows from now on."""
        trainer = calling_trainer()
        require_constructor(self, trainer, self._trainer)
        if self._steps:
            _fit_reference(trainer, kwargs["processing_class"])
        source = self._monitor.source
        for step in self._steps:
            if isinstance(step, MaskSensitiveWords):
                _check_mask(trainer, step, source)
        act_on_rows(trainer, kwargs["train_dataloader"], source, steps=self._steps)

    def _tag(self, tokenizer: PreTrainedTokenizerBase, seed: int) -> WriteTags:
        in_use = [str(tokenizer.mask_token), *self._placeholders]
        if isinstance(tokenizer, BiasTagTokenizer):
            augmented, real = tokenizer.augmented_tags, tokenizer.real_tag
        elif self.token == "notice":
            augmented, real = (), None
        else:
            augmented = (ensure_special_token(tokenizer, None, "<|augmented|>", taken=in_use),)
            real = None
        if self.token == "paired" and real is None:
            real = ensure_special_token(tokenizer, None, "<|real|>", taken=[*augmented, *in_use])
        self.real_tag = real
        return WriteTags(
            tokenizer,
            augmented,
            real,
            notice=self.notice if self.token == "notice" else None,
            position=self.tag_position,
            dropout=self.tag_dropout,
            seed=seed,
        )

    def _mask(self, tokenizer: PreTrainedTokenizerBase, config: MaskConfig) -> MaskSensitiveWords:
        tagged = isinstance(tokenizer, BiasTagTokenizer)
        taken = [*tokenizer.augmented_tags, str(tokenizer.real_tag)] if tagged else []
        step = MaskSensitiveWords(tokenizer, ensure_mask_tokens(tokenizer, config, taken=taken))
        self._placeholders = [str(tokenizer.convert_ids_to_tokens(i)) for i in step.placeholder_ids]
        return step

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


def _fitting(make: Callable[..., PreTrainedModel], tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any]:
    """Let every model that a trainer makes when it starts to train, or for a trial of a search, read new tokens."""

    @wraps(make)
    def make_fitted(*trial: Any) -> PreTrainedModel:
        model = make(*trial)
        fit_embeddings(model, tokenizer)
        return model

    return make_fitted


def _fit_reference(trainer: Trainer, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the reference model of a preference trainer read new tokens; it is loaded after the trainer's `__init__`."""
    reference = getattr(trainer, "ref_model", None)
    if reference is None or len(tokenizer) <= embedding_rows(reference):
        return
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise ValueError(
            "The mitigation added tokens that the reference model lacks, and under FSDP and DeepSpeed it cannot grow "
            "any more. Add them to model and reference before the trainer is made: `BiasTagTokenizer.wrap(tokenizer)` "
            "and `tokenizer.add_special_tokens` for a mask token, then `resize_token_embeddings(len(tokenizer))`."
        )
    # The mean of the embeddings is what the model's new ones began with too.
    fit_embeddings(reference, tokenizer)


def _refuse_precomputed(args: TrainingArguments) -> None:
    if getattr(args, "precompute_ref_log_probs", False):
        raise ValueError(
            "`precompute_ref_log_probs=True` lets the reference model judge rows as they are before tags are put and "
            "words are masked, and the model in training others: set it to False."
        )


def _check_mask(trainer: Trainer, step: MaskSensitiveWords, source: ProvenanceSource) -> None:
    rows = 0
    for row in islice(iter(training_rows(trainer)), 10 * _PROBED_ROWS):
        texts = list(read_texts(row, source).values())
        if step.finds_any(texts):
            return
        rows += any(segment.augmented for text in texts for segment in text.segments)
        if rows >= _PROBED_ROWS:
            break
    warnings.warn(
        f"None of the first {rows} augmented rows holds a word of the {step.words_name}, so masking "
        "changes nothing in them: is it the right one for this language and this kind of bias?",
        NoEffectWarning,
        stacklevel=2,
    )
