"""A generator that is a causal language model on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from mitigate.augment.generators import Answer, Decoding, Failure, GenerationStopped, Record, Request
from mitigate.generation import only_configuration
from mitigate.scoring import evaluation_mode


class LocalGenerator:
    """
    Let a causal language model answer, some requests at a time.

    A prompt is put as the user's turn of the chat template if the tokenizer has one, without thinking; otherwise it is
    the text that the model goes on from. Every request draws from a random generator of its own, so an answer does not
    depend on which others are in its batch, or on what was answered before. Floating-point sums do depend on the
    batch, a little, and now and then another token follows from that.

    Args:
        model (`PreTrainedModel`):
            The model; it is put into evaluation mode for the time of a call.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        batch_size (`int`, *optional*, defaults to 16):
            Requests that are answered together.

    Raises:
        ValueError: If `batch_size` is below 1.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, batch_size: int = 16) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size

    def __call__(self, requests: Sequence[Request], record: Record) -> list[Failure]:
        """
        Answer requests.

        Args:
            requests (`Sequence[Request]`):
                The requests.
            record (`Callable[[Request, Answer], None]`):
                Is given every answer once its batch is done.

        Returns:
            `list[Failure]`: Requests that are too long for the model.

        Raises:
            GenerationStopped: If the memory does not suffice.
        """
        prompts = [self._tokenize(request.prompt) for request in requests]
        limit = getattr(self.model.config, "max_position_embeddings", None)
        failures, fitting = [], []
        for request, ids in zip(requests, prompts, strict=True):
            needed = len(ids) + request.decoding.max_tokens
            if limit is not None and needed > limit:
                reason = (
                    f"prompt and answer need {needed} tokens, and the model takes {limit}; lower `max_tokens`, or "
                    "shorten the seed"
                )
                failures.append(Failure(request, reason))
            else:
                fitting.append((request, ids))
        with evaluation_mode(self.model):
            for first in range(0, len(fitting), self.batch_size):
                batch = fitting[first : first + self.batch_size]
                for (request, _), answer in zip(batch, self._answer(batch), strict=True):
                    record(request, answer)
        return failures

    def _tokenize(self, prompt: str) -> list[int]:
        if self.tokenizer.chat_template is None:
            ids: list[int] = self.tokenizer(f"{prompt}\n")["input_ids"]
            return ids
        messages = [{"role": "user", "content": prompt}]
        # Templates that know nothing of thinking pass over the argument.
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        written: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return written

    @torch.no_grad()
    def _answer(self, batch: Sequence[tuple[Request, list[int]]]) -> list[Answer]:
        decoding = batch[0][0].decoding
        prompts = [torch.tensor(ids) for _, ids in batch]
        stops = self._stops()
        inputs = pad_sequence(prompts, batch_first=True, padding_side="left", padding_value=stops[0])
        lengths = torch.tensor([len(ids) for ids in prompts])
        mask = (torch.arange(inputs.shape[1]) >= inputs.shape[1] - lengths[:, None]).long()
        device = self.model.device
        config = _generation_config(decoding, stops)
        try:
            # What the model's own configuration would add is not in the record of the rows.
            with only_configuration(config, self.model):
                written: Tensor = cast(Any, self.model).generate(
                    inputs=inputs.to(device),
                    attention_mask=mask.to(device),
                    generation_config=config,
                    logits_processor=_processors(decoding, [request.seed for request, _ in batch], device),
                )
        except torch.OutOfMemoryError as error:
            raise GenerationStopped(
                f"The memory of {device} does not suffice for {len(batch)} requests at a time. Lower `batch_size`."
            ) from error
        rows = written[:, inputs.shape[1] :].tolist()
        return [self._read(row, len(ids), stops) for row, ids in zip(rows, prompts, strict=True)]

    def _read(self, ids: list[int], prompt_tokens: int, stops: list[int]) -> Answer:
        end = next((place for place, token_id in enumerate(ids) if token_id in stops), None)
        kept = ids if end is None else ids[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        finish_reason = "length" if end is None else "stop"
        return Answer(str(text), finish_reason, prompt_tokens, len(kept), self._version(), "local")

    def _version(self) -> str:
        # Set by transformers for a model of the Hub.
        return getattr(self.model.config, "_commit_hash", None) or ""

    def _stops(self) -> list[int]:
        ids = self.model.generation_config.eos_token_id
        ids = self.tokenizer.eos_token_id if ids is None else ids
        if ids is None:
            raise GenerationStopped(
                "The model has no token that ends a text. Set `eos_token_id` in its configuration."
            )
        return ids if isinstance(ids, list) else [ids]


class _SeededDraw(LogitsProcessor):
    """Turn taking the likeliest token into a draw, row by row: the Gumbel-max trick (Gumbel, 1954)."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        smallest = torch.finfo(torch.float32).tiny
        draws = torch.stack(
            [torch.empty_like(scores[0]).exponential_(generator=generator) for generator in self._generators]
        )
        return scores - draws.clamp_min(smallest).log()


class _Widened(LogitsProcessor):
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.float()


def _processors(decoding: Decoding, seeds: Sequence[int], device: torch.device) -> LogitsProcessorList:
    if decoding.temperature == 0:
        return LogitsProcessorList()
    chain: list[LogitsProcessor] = [_Widened(), TemperatureLogitsWarper(float(decoding.temperature))]
    if decoding.top_p < 1:
        chain.append(TopPLogitsWarper(decoding.top_p))
    return LogitsProcessorList([*chain, _SeededDraw(seeds, device)])


def _generation_config(decoding: Decoding, stops: list[int]) -> GenerationConfig:
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=decoding.max_tokens,
        do_sample=False,  # the draw is in the processors
        eos_token_id=stops,
        pad_token_id=stops[0],
    )
