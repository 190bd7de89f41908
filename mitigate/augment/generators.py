"""What is asked of a generator and what comes back, the same for local models and endpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True)
class Decoding:
    """
    Decoding parameters.

    Args:
        temperature (`float`, *optional*, defaults to 1.0):
            At least 0, which takes the likeliest token always.
        top_p (`float`, *optional*, defaults to 1.0):
            Probability mass to draw from, in (0, 1].
        max_tokens (`int`, *optional*, defaults to 256):
            Tokens after which an answer is cut off.
        seed (`int`, *optional*, defaults to 0):
            Seed of all requests together; each has one of its own that follows from it.

    Raises:
        ValueError: If a value is out of its range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"`temperature` must be at least 0, got {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"`top_p` must lie in (0, 1], got {self.top_p}.")
        if self.max_tokens < 1:
            raise ValueError(f"`max_tokens` must be at least 1, got {self.max_tokens}.")


@dataclass(frozen=True)
class Request:
    """
    One text to be written.

    Args:
        prompt (`str`):
            The prompt.
        model (`str`):
            Name of the model.
        decoding (`Decoding`):
            The decoding parameters.
        sample (`int`, *optional*, defaults to 0):
            Tells requests with the same prompt apart.
    """

    prompt: str
    model: str
    decoding: Decoding
    sample: int = 0

    @cached_property
    def key(self) -> str:
        """`str`: Names the request by all that its answer depends on; 32 hexadecimal digits."""
        content = [self.prompt, self.model, asdict(self.decoding), self.sample]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def seed(self) -> int:
        """`int`: Seed of this request, in [0, 2³¹)."""
        return int(self.key[:8], 16) >> 1

    def as_dict(self) -> dict[str, Any]:
        """
        Write the request as a mapping.

        Returns:
            `dict`: All fields.
        """
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """
    What a generator wrote.

    Args:
        text (`str`):
            The text, without special tokens.
        finish_reason (`str`):
            Why it ended: `"stop"`, `"length"` (cut off), `"content_filter"`, `"refusal"`, or what the endpoint says.
        prompt_tokens (`int`, *optional*):
            Tokens of the prompt; `None` if the endpoint does not tell.
        completion_tokens (`int`, *optional*):
            Likewise of the answer.
        served_model (`str`, *optional*):
            The model as the endpoint names it, often with its version; on this machine the commit of the Hub.
        generator (`str`, *optional*):
            Kind of generator that wrote it, `"local"` or `"endpoint"`.
        endpoint (`str`, *optional*):
            Address of the endpoint.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    served_model: str = ""
    generator: str = ""
    endpoint: str = ""


def token_count(told: object) -> int | None:
    """
    Read the number of tokens that an endpoint or a file tells, which may be anything.

    Args:
        told (`object`):
            What it tells.

    Returns:
        `int` or `None`: The number; `None` if it is none.
    """
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None


class Failure(NamedTuple):
    """
    A request without an answer.

    Attributes:
        request (`Request`):
            The request.
        reason (`str`):
            What happened, in one sentence.
    """

    request: Request
    reason: str


class GenerationStopped(RuntimeError):
    """Raised when no further request would be answered either; the message says why and what to do."""


Record = Callable[[Request, Answer], None]


class Generator(Protocol):
    """Whatever answers requests."""

    def __call__(self, requests: Sequence[Request], record: Record) -> list[Failure]:
        """
        Answer requests.

        Args:
            requests (`Sequence[Request]`):
                The requests, of one model and with the same decoding parameters.
            record (`Callable[[Request, Answer], None]`):
                Is given every answer as soon as it is there, in any order.

        Returns:
            `list[Failure]`: The requests that have none.

        Raises:
            GenerationStopped: If going on makes no sense.
        """
        ...
