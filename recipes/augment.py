"""
Let an LLM write rows from seed rows, in six bias types.

    python recipes/augment.py --config recipes/augment.yaml --seed_file seeds.jsonl --model Qwen/Qwen3-0.6B
    python recipes/augment.py --config recipes/augment.yaml --seed_file seeds.jsonl --model my-model \
        --endpoint http://localhost:8000/v1

The key of an endpoint is read from the environment variable OPENAI_API_KEY and from nowhere else. A second start makes
no request twice; `docs/augment.md` tells the rest.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mitigate.augment import (
    Answer,
    Failure,
    GenerationStopped,
    Journal,
    JournalError,
    Request,
    Rows,
    ask,
    make_rows,
)
from mitigate.augment.rows import Asked, Row
from mitigate.augment.summary import Usage, count_usage, render_summary, summarise
from mitigate.files import replace_file
from mitigate.recipes.augment_config import AugmentConfig, make_generator, parse_augment_config, read_seeds
from mitigate.recipes.config import ConfigError
from mitigate.recipes.grid import versions
from mitigate.recipes.terminal import table_console

_DESCRIPTION = "Let an LLM write rows from seed rows, in six bias types; see docs/augment.md."
_SHOWN_REASONS = 5


def main(arguments: list[str] | None = None) -> int:
    """
    Run an augmentation.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: 0 if every request has an answer and some row passed the checks, 1 if not, 2 if the configuration or
        the seeds cannot be used, 130 if it was interrupted.
    """
    try:
        config = parse_augment_config(sys.argv[1:] if arguments is None else arguments, _DESCRIPTION)
        seeds = read_seeds(config.arguments)
        folder = Path(config.arguments.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0), Journal(folder / "journal.jsonl") as journal:
            return _run(config, ask(config.plan.items(seeds), config.model, config.decoding), journal)
    except Timeout:
        problem = f"`output_dir`: another augmentation is at work in {folder}. Wait for it, or name another folder."
    except OSError as error:
        problem = f"`output_dir`: {error}"
    except (ConfigError, JournalError) as error:
        problem = str(error)
    print(f"This augmentation cannot be run:\n{problem}", file=sys.stderr)
    return 2


def _run(config: AugmentConfig, asked: Asked, journal: Journal) -> int:
    requests = [request for _, request in asked.items]
    missing = journal.missing(requests)
    _announce(asked, missing)
    _warn_of_others(config, [journal.answers[request.key] for request in requests if request.key in journal.answers])
    try:
        failures = _generate(config, missing, journal) if missing else []
    except (GenerationStopped, KeyboardInterrupt) as error:
        left = len(journal.missing(requests))
        print(
            f"Stopped: {str(error) or 'interrupted.'}\n{len(missing) - left} answers came, and are kept; {left} are "
            "missing. Start again to go on.",
            file=sys.stderr,
        )
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    rows = make_rows(asked, journal.answers, config.limits)
    answers = {request.key: journal.answers[request.key] for request in requests if request.key in journal.answers}
    usage = count_usage(
        answers.values(),
        price_prompt=config.arguments.price_prompt,
        price_completion=config.arguments.price_completion,
    )
    _write(config, rows, usage)
    return _report(config, rows, usage, failures)


def _generate(config: AugmentConfig, missing: Sequence[Request], journal: Journal) -> list[Failure]:
    generate = make_generator(config)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[tokens]:,} tokens"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=table_console()) as progress:
        task = progress.add_task("answers", total=len(missing), tokens=0)
        tokens = 0

        def record(request: Request, answer: Answer) -> None:
            nonlocal tokens
            journal.add(request, answer)
            tokens += (answer.prompt_tokens or 0) + (answer.completion_tokens or 0)
            progress.update(task, advance=1, tokens=tokens)

        return generate(missing, record)


def _announce(asked: Asked, missing: Sequence[Request]) -> None:
    wanted = len(asked.items)
    print(f"{wanted} rows to write, {wanted - len(missing)} of them answered before", flush=True)
    if asked.refused:
        details = Counter(rejection.detail for _, _, rejection in asked.refused)
        detail, _ = details.most_common(1)[0]
        print(
            f"{len(asked.refused)} more are not asked for, since the prompt would break the rule of its bias type. "
            f"Most often: {detail}.",
            flush=True,
        )


def _warn_of_others(config: AugmentConfig, answers: Iterable[Answer]) -> None:
    """Tell of answers that the generator of this run has not given."""
    ours = ("local", "") if config.endpoint is None else ("endpoint", config.endpoint.url)
    others = Counter((answer.generator, answer.endpoint) for answer in answers)
    del others[ours]
    for (kind, url), count in others.items():
        who = f"the endpoint {url}" if url else f"another generator ({kind or 'unnamed'})"
        print(
            f"{count} of the answers that are there were given by {who}, which may be another model of the same name. "
            "They are kept; to have rows of one generator only, name another `output_dir`.",
            file=sys.stderr,
        )


def _write(config: AugmentConfig, rows: Rows, usage: Usage) -> None:
    folder = Path(config.arguments.output_dir)
    packages = versions() | ({"openai": version("openai")} if config.endpoint is not None else {})
    summary = {
        **summarise(rows, usage),
        "settings": dataclasses.asdict(config.arguments),
        "task": config.plan.task,
        "arm": config.plan.arm,
        "versions": packages,
    }
    replace_file(folder / "rejected.jsonl", _lines(rows.rejected))
    replace_file(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    replace_file(folder / "augmented.jsonl", _lines(rows.accepted))


def _lines(rows: Iterable[Row]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _report(config: AugmentConfig, rows: Rows, usage: Usage, failures: Sequence[Failure]) -> int:
    table_console().print(render_summary(rows))
    untold = f", and {usage.untold} answers that do not tell theirs" if usage.untold else ""
    cost = f", at a cost of {usage.cost:,.4f}" if usage.cost else ""
    print(f"{usage.prompt_tokens:,} tokens read and {usage.completion_tokens:,} written{untold}{cost}")
    print(
        f"{len(rows.accepted)} rows accepted, {len(rows.rejected)} rejected, in {config.arguments.output_dir}",
        flush=True,
    )
    for reason, count in Counter(failure.reason for failure in failures).most_common(_SHOWN_REASONS):
        print(f"{count} requests failed: {reason}", file=sys.stderr)
    if rows.missing:
        print(f"{rows.missing} rows are missing. Start again to ask for them once more.", file=sys.stderr)
    if not rows.accepted:
        print(f"No row passed the checks; {config.arguments.output_dir}/rejected.jsonl says why.", file=sys.stderr)
    return 1 if rows.missing or not rows.accepted else 0


if __name__ == "__main__":
    sys.exit(main())
