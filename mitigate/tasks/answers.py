"""Get answers from a model: written by it, batched and seeded; or chosen by likelihood."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel, PreTrainedTokenizerBase

from mitigate.generation import only_configuration
from mitigate.scoring import candidate_probabilities, evaluation_mode, require_finite
from mitigate.tasks.base import Prompt
from mitigate.tasks.cache import fingerprint, store_answers, stored_answers


@dataclass(frozen=True)
class Decoding:
    """
    How answers are written.

    Args:
        max_new_tokens (`int`):
            Tokens after which an answer is cut.
        temperature (`float`, *optional*, defaults to 0):
            0 takes the most probable token; above, tokens are drawn.
        top_p (`float`, *optional*, defaults to 1):
            Share of probability, in (0, 1], of the tokens that are drawn from.
        seed (`int`, *optional*, defaults to 0):
            Seed of the draws.

    Raises:
        ValueError: If a value is out of its range.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"`max_new_tokens` must be at least 1, got {self.max_new_tokens}.")
        if not self.temperature >= 0:
            raise ValueError(f"`temperature` must be at least 0, got {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"`top_p` must lie in (0, 1], got {self.top_p}.")


def plain_text(prompt: Prompt) -> str:
    """
    Write a prompt as a model without a chat template expects it.

    Args:
        prompt (`Prompt`):
            The prompt.

    Returns:
        `str`: The text that the answer follows, after a space. It ends in the prompt's opening.
    """
    return f"{prompt.text}\n{prompt.opening}"


def render(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """
    Write a prompt as the model expects it: as a user's turn if there is a chat template, without thinking, else as
    plain text.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The model's tokenizer.
        prompt (`Prompt`):
            The prompt.

    Returns:
        `str`: The text that the answer follows. Without a template it ends in the prompt's opening.
    """
    text = plain_text(prompt)
    if tokenizer.chat_template is not None:
        turns = [{"role": "user", "content": prompt.text}]
        # Answers are short, and rows to train on have no thoughts. Other templates pass over the argument.
        text = cast(
            str,
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, enable_thinking=False),
        )
    if prompt.tag_position == "answer":
        return text + prompt.tag
    # As in training, after the token of the beginning of the text, which a template writes itself.
    opening = next(
        (token for token in (tokenizer.bos_token, tokenizer.cls_token) if token and text.startswith(token)), ""
    )
    return opening + prompt.tag + text.removeprefix(opening)


def choose(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], *, batch_size: int = 64
) -> list[NDArray[np.float64]]:
    """
    Probability of each choice of each prompt, by likelihood; see [`~mitigate.scoring.candidate_probabilities`].

    Args:
        model (`PreTrainedModel`):
            A causal language model.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        prompts (`Sequence[Prompt]` of length `n`):
            Prompts with choices.
        batch_size (`int`, *optional*, defaults to 64):
            Sequences in one forward pass.

    Returns:
        `list[np.ndarray]`: `n` arrays, one probability a choice.

    Raises:
        ValueError: If a prompt has no choices.
        FloatingPointError: If the model's scores are not finite.
    """
    if any(not prompt.choices for prompt in prompts):
        raise ValueError("A prompt has no `choices`, so none can be chosen: let the model write the answer.")
    # After a chat template the answer begins a turn; after plain text, a word.
    space = "" if tokenizer.chat_template is not None else " "
    texts = [render(tokenizer, prompt) for prompt in prompts]
    choices = [[f"{space}{choice}" for choice in prompt.choices] for prompt in prompts]
    # A chat template writes the special tokens itself.
    special = tokenizer.chat_template is None
    return candidate_probabilities(model, tokenizer, texts, choices, batch_size=batch_size, add_special_tokens=special)


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    decoding: Decoding,
    *,
    batch_size: int = 16,
    cache: Path | None = None,
) -> list[str]:
    """
    Let the model write an answer to each prompt.

    What `decoding` does not say is off: of the model's own generation configuration, which may penalise repetitions or
    draw from few tokens, only the tokens at which an answer ends are taken.

    Equal prompts get one answer. Draws are seeded by the batch, and the random state of the caller stays as it was.

    Args:
        model (`PreTrainedModel`):
            A causal language model; it is put into evaluation mode for the time of the call.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer, with a padding token. It may pad on either side.
        prompts (`Sequence[Prompt]` of length `n`):
            The prompts.
        decoding (`Decoding`):
            How to write.
        batch_size (`int`, *optional*, defaults to 16):
            Prompts in one batch. Other sizes draw other answers, and round differently.
        cache (`Path`, *optional*):
            SQLite file that keeps answers under a hash of the model (see [`~mitigate.tasks.cache.fingerprint`]), the
            prompt's token ids and the decoding, so that an interrupted run goes on where it stopped. It is made if it
            is not there.

    Returns:
        `list[str]`: `n` answers without the prompt, special tokens and surrounding white space.

    Raises:
        ValueError: If the tokenizer has no padding token.
        FloatingPointError: If the model's scores are not finite.
    """
    if tokenizer.pad_token_id is None:
        raise ValueError("The tokenizer has no padding token: set `tokenizer.pad_token`, such as to its `eos_token`.")
    # A chat template writes the special tokens itself.
    special = tokenizer.chat_template is None
    texts = [render(tokenizer, prompt) for prompt in prompts]
    encoded = [tuple(tokenizer(text, add_special_tokens=special)["input_ids"]) for text in texts]
    config = _generation_config(model, tokenizer, decoding)
    settings = f"{config.to_json_string(ignore_metadata=True)} {decoding.seed}"
    scope = f"{fingerprint(model)} {settings}" if cache is not None else settings
    keys = {ids: hashlib.blake2b(f"{scope} {ids}".encode(), digest_size=20).hexdigest() for ids in encoded}
    answers = {} if cache is None else stored_answers(cache, keys.values())
    # Of similar length, so that little is padded.
    wanted = sorted((ids for ids, key in keys.items() if key not in answers), key=lambda ids: (len(ids), keys[ids]))
    with evaluation_mode(model):
        for first in range(0, len(wanted), batch_size):
            batch = wanted[first : first + batch_size]
            new = dict(
                zip((keys[ids] for ids in batch), _write(model, tokenizer, batch, config, decoding.seed), strict=True)
            )
            answers |= new
            if cache is not None:
                store_answers(cache, new)
    return [answers[keys[ids]] for ids in encoded]


def _generation_config(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, decoding: Decoding
) -> GenerationConfig:
    # A model may end at several tokens, of which the tokenizer knows one.
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    draws = {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=decoding.max_new_tokens,
        do_sample=decoding.temperature > 0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id if own is None else own,
        **(draws if decoding.temperature > 0 else {}),
    )


class _FiniteScores(LogitsProcessor):
    """Stop where no token can be told from the others. A single token may have no chance, and minus infinity."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        require_finite(scores.amax(dim=-1).float().cpu().numpy())
        return scores


@torch.no_grad()
def _write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: list[tuple[int, ...]],
    config: GenerationConfig,
    seed: int,
) -> list[str]:
    inputs = tokenizer.pad({"input_ids": [list(ids) for ids in batch]}, padding_side="left", return_tensors="pt")
    inputs = inputs.to(model.device)
    devices = [model.device] if model.device.type == "cuda" else []
    mixed = hashlib.blake2b(f"{seed} {batch}".encode(), digest_size=8).digest()
    with torch.random.fork_rng(devices=devices), only_configuration(config, model):
        torch.manual_seed(int.from_bytes(mixed, "big") % 2**63)
        written = cast(Any, model).generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            generation_config=config,
            logits_processor=[_FiniteScores()],
            # Processes that hold parts of a model must all go on until the last has finished. Transformers knows by
            # itself of DeepSpeed, and of FSDP 2 only where it set that up.
            synced_gpus=True if _is_sharded(model) else None,
        )
    new = written[:, inputs["input_ids"].shape[1] :]
    texts: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _is_sharded(model: PreTrainedModel) -> bool:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule  # not there in builds of PyTorch without its distributed part

    return isinstance(model, FSDPModule) and torch.distributed.get_world_size() > 1
