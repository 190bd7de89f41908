"""The journal of answers: what has been asked is never asked again, and nothing that was answered is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any

from mitigate.augment.generators import Answer, Request, token_count


class JournalError(ValueError):
    """Raised when a journal cannot be read."""


class Journal:
    """
    A file of requests with their answers, one a line, to which every answer is added as it comes.

    A line is on the disk before the next answer is taken, so a process may be killed at any time. Half a line at the
    end is what such a process leaves behind; it is cut away when the journal is opened. One process at a time may
    write.

    Args:
        path (`str` or `Path`):
            The file, in JSON Lines; made if it is not there.

    Attributes:
        answers (`dict[str, Answer]`):
            By the key of the request.

    Raises:
        JournalError: If a line before the last cannot be read.

    Example:
    ```python
    >>> with Journal("journal.jsonl") as journal:
    ...     journal.add(request, answer)
    ...     request.key in journal.answers
    True
    ```
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.answers: dict[str, Answer] = {}
        self._file: BufferedWriter | None = None

    def __enter__(self) -> Journal:
        whole = self._read()
        self._file = self.path.open("ab")
        self._file.truncate(whole)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, request: Request, answer: Answer) -> None:
        """
        Add an answer.

        Args:
            request (`Request`):
                The request.
            answer (`Answer`):
                Its answer.

        Raises:
            RuntimeError: If the journal is not open.
        """
        if self._file is None:
            raise RuntimeError(
                "The journal is not open. Use it as a context manager: `with Journal(path) as journal`."
            )
        line = {"key": request.key, **request.as_dict(), "answer": asdict(answer)}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.answers[request.key] = answer

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """
        List the requests that have no answer yet.

        Args:
            requests (`Iterable[Request]`):
                Requests, in which one may come twice.

        Returns:
            `list[Request]`: Each once, in their order.
        """
        by_key = {request.key: request for request in requests}
        return [request for key, request in by_key.items() if key not in self.answers]

    def _read(self) -> int:
        """Read what is there; return the bytes of all whole lines."""
        whole = 0
        if not self.path.exists():
            return whole
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                key, answer = self._parse(line, number)
                self.answers[key] = answer
                whole += len(line)
        return whole

    def _parse(self, line: bytes, number: int) -> tuple[str, Answer]:
        try:
            content = json.loads(line)
            return str(content["key"]), _read_answer(content["answer"])
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(
                f"Line {number} of {self.path} is not an answer of this program ({type(error).__name__}). Delete the "
                "line, and its request is made again."
            ) from error


def _read_answer(content: dict[str, Any]) -> Answer:
    answer = Answer(**content)
    texts = (answer.text, answer.finish_reason, answer.served_model, answer.generator, answer.endpoint)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("an answer must be texts")
    # Numbers of tokens are no reason to lose a text that was paid for.
    tokens = token_count(answer.prompt_tokens), token_count(answer.completion_tokens)
    return replace(answer, prompt_tokens=tokens[0], completion_tokens=tokens[1])
