"""A generator that is an endpoint which speaks the language of the OpenAI API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mitigate.augment.generators import Answer, Failure, GenerationStopped, Record, Request, token_count

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Failures one after another after which the endpoint is taken to be out of order.
FAILURES_IN_A_ROW = 10
# Characters of what an endpoint says that an error repeats.
_QUOTED = 200
_NO_KEY = "none"
# Shorter keys are placeholders such as `EMPTY`, or `x`, which the words of an answer may hold.
_SECRET = 8


class EndpointGenerator:
    """
    Let an endpoint answer, several requests at a time.

    Connection errors, timeouts, rate limits (429) and server errors are tried again by the official client: after
    0.5 s, 1 s, 2 s and so on to 8 s, each less up to a quarter of it at random, or after the time that the endpoint
    names in `Retry-After`.

    Args:
        url (`str`):
            Address of the endpoint, to which `/chat/completions` is added: `"http://localhost:8000/v1"`.
        api_key (`str`, *optional*):
            The key, if it needs one. It is sent to the endpoint and shown nowhere else: where the endpoint repeats a
            key of at least 8 characters, errors and answers have `***` in its place.
        concurrency (`int`, *optional*, defaults to 8):
            Requests at a time.
        requests_per_minute (`float`, *optional*):
            Most requests a minute, those that are tried again included. They are spread evenly.
        timeout (`float`, *optional*, defaults to 120):
            Seconds to wait for an answer.
        max_retries (`int`, *optional*, defaults to 8):
            How often a request is tried again.

    Raises:
        ImportError: If the extra `openai` is not installed.
        ValueError: If a value is out of its range, or the address holds a password or a query.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        timeout: float = 120.0,
        max_retries: int = 8,
    ) -> None:
        try:
            import aiolimiter  # noqa: F401
            import openai  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"An endpoint needs the package `{error.name}`: `pip install 'mitigate[openai]'`."
            ) from error
        _check_url(url)
        _check_key(api_key)
        for name, value in (("concurrency", concurrency), ("timeout", timeout)):
            if not value > 0:
                raise ValueError(f"`{name}` must be greater than 0, got {value}.")
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ValueError(f"`requests_per_minute` must be greater than 0, got {requests_per_minute}.")
        if max_retries < 0:
            raise ValueError(f"`max_retries` must be at least 0, got {max_retries}.")
        self.url = url
        self.concurrency = concurrency
        self.requests_per_minute = requests_per_minute
        self.timeout = timeout
        self.max_retries = max_retries
        self._api_key = api_key

    def __call__(self, requests: Sequence[Request], record: Record) -> list[Failure]:
        """
        Answer requests.

        Args:
            requests (`Sequence[Request]`):
                The requests.
            record (`Callable[[Request, Answer], None]`):
                Is given every answer as it comes.

        Returns:
            `list[Failure]`: Requests that the endpoint refused, or did not answer after all tries.

        Raises:
            GenerationStopped: If the endpoint cannot be reached, refuses the key or the model, or failed ten times in
                a row. Requests that are under way then are waited for.
        """
        return asyncio.run(self._answer_all(requests, record))

    async def _answer_all(self, requests: Sequence[Request], record: Record) -> list[Failure]:
        course = _Course(iter(requests))
        async with self._client() as client:
            workers = (self._work(client, course, record) for _ in range(self.concurrency))
            await asyncio.gather(*workers)
        if course.stopped:
            raise GenerationStopped(course.stopped)
        return course.failures

    async def _work(self, client: AsyncOpenAI, course: _Course, record: Record) -> None:
        for request in course.requests:
            try:
                answer = await self._answer(client, request)
            except _Problem as problem:
                course.fail(request, problem)
            else:
                course.in_a_row = 0
                record(request, answer)
            if course.stopped:
                return

    async def _answer(self, client: AsyncOpenAI, request: Request) -> Answer:
        from openai import OpenAIError

        try:
            completion = await client.chat.completions.create(
                model=request.model,
                messages=[{"role": "user", "content": request.prompt}],
                temperature=request.decoding.temperature,
                top_p=request.decoding.top_p,
                max_completion_tokens=request.decoding.max_tokens,
                seed=request.seed,
            )
        except OpenAIError as error:
            raise self._problem(error, request) from None
        except json.JSONDecodeError as error:
            raise _Problem(f"the answer is not JSON: {error}") from None
        return self._read(completion)

    def _client(self) -> AsyncOpenAI:
        from aiolimiter import AsyncLimiter
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        hooks = {}
        if self.requests_per_minute:
            # One by one: a limiter that lets a minute's worth through at once would allow twice as many in a minute.
            limiter = AsyncLimiter(1, 60 / self.requests_per_minute)
            hooks["request"] = [lambda _: limiter.acquire()]
        return AsyncOpenAI(
            base_url=self.url,
            api_key=self._api_key or _NO_KEY,
            timeout=self.timeout,
            max_retries=self.max_retries,
            http_client=DefaultAsyncHttpxClient(event_hooks=hooks),
        )

    def _problem(self, error: Exception, request: Request) -> _Problem:
        import openai

        tries = f"after {self.max_retries + 1} tries"
        match error:
            case openai.APITimeoutError():
                return _Problem(f"no answer within {self.timeout:g} s, {tries}")
            case openai.APIConnectionError():
                cause = self._quote(error.__cause__ or error)
                return _Problem(f"{self.url} cannot be reached, {tries} ({cause}). Is it running?", final=True)
            case openai.APIStatusError():
                return self._status_problem(error, request, tries)
        return _Problem(f"the answer cannot be read: {self._quote(error)}")

    def _status_problem(self, error: Any, request: Request, tries: str) -> _Problem:
        said = f"{self.url} says {error.status_code}: {self._quote(error)}"
        match error.status_code:
            case 401 | 403:
                remedy = "Set the environment variable `OPENAI_API_KEY` to a key that may use it."
                return _Problem(f"{said}. {remedy}", final=True)
            case 404:
                remedy = f"Does it serve the model '{request.model}', and does its address end as it should (`/v1`)?"
                return _Problem(f"{said}. {remedy}", final=True)
            case 429:
                wait = error.response.headers.get("retry-after")
                asked = f", and asks to wait {self._redact(wait)} s" if wait else ""
                remedy = "Lower `concurrency`, or set `requests_per_minute`."
                return _Problem(f"{said}, {tries}{asked}. {remedy}")
        return _Problem(f"{said}, {tries}" if error.status_code >= 500 else said)

    def _quote(self, error: BaseException) -> str:
        """Repeat what an endpoint says, which may be the key, in one line."""
        text = self._redact(" ".join(str(error).split()) or type(error).__name__)
        return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"

    def _redact(self, told: object) -> str:
        # Half a surrogate pair, which JSON can hold, could be written to no file.
        text = str(told).encode("utf-8", "replace").decode()
        return text.replace(self._api_key, "***") if len(self._api_key) >= _SECRET else text

    def _read(self, completion: Any) -> Answer:
        # Servers are said to be compatible, and the client checks little of what they send.
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list):
            raise _Problem("the answer is not a chat completion")
        message = getattr(choices[0], "message", None) if choices else None
        refusal, content = getattr(message, "refusal", None), getattr(message, "content", None)
        text = refusal or content or ""
        if message is None or not isinstance(text, str):
            raise _Problem("the answer has no text to choose (`choices`)")
        usage = getattr(completion, "usage", None)
        finish_reason = "refusal" if refusal else getattr(choices[0], "finish_reason", None) or "unknown"
        return Answer(
            text=self._redact(text),
            finish_reason=self._redact(finish_reason),
            prompt_tokens=token_count(getattr(usage, "prompt_tokens", None)),
            completion_tokens=token_count(getattr(usage, "completion_tokens", None)),
            served_model=self._redact(getattr(completion, "model", None) or ""),
            generator="endpoint",
            endpoint=self.url,
        )


class _Problem(Exception):
    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class _Course:
    """What the workers share."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self.requests = requests
        self.failures: list[Failure] = []
        self.in_a_row = 0
        self.stopped = ""

    def fail(self, request: Request, problem: _Problem) -> None:
        self.failures.append(Failure(request, problem.reason))
        self.in_a_row += 1
        if problem.final:
            self.stopped = self.stopped or problem.reason
        elif self.in_a_row >= FAILURES_IN_A_ROW:
            self.stopped = self.stopped or f"{self.in_a_row} requests in a row failed, the last thus: {problem.reason}"


def _check_url(url: str) -> None:
    if "@" in url or "?" in url:
        raise ValueError(
            "`endpoint` holds a user, a password or a query, which would end up in files. Leave them out of the "
            "address, and set the environment variable `OPENAI_API_KEY`."
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`endpoint` must be an address such as http://localhost:8000/v1, got '{url}'.")


def _check_key(key: str) -> None:
    # What cannot stand in a header would be shown by the error about it.
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise ValueError(
            "The API key holds white space or characters that no key can have. Set `OPENAI_API_KEY` anew."
        )
