"""Read the configuration and the seeds of an augmentation, and say what is wrong with them before all else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from datasets import ClassLabel, Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from mitigate.augment import (
    Decoding,
    EndpointGenerator,
    Generator,
    LocalGenerator,
    Plan,
    Seed,
    TextLimits,
    bias_types,
    default_task,
)
from mitigate.data_files import is_empty
from mitigate.recipes.arguments import AugmentArguments
from mitigate.recipes.config import ConfigError, read_arguments
from mitigate.recipes.tables import load_rows

KEY_VARIABLE = "OPENAI_API_KEY"
_ALIGNED_PROMPT = "prompt"


@dataclass(frozen=True)
class AugmentConfig:
    """
    A configuration that can be run.

    Args:
        arguments (`AugmentArguments`):
            All keys.
        plan (`Plan`):
            What is asked for every seed.
        decoding (`Decoding`):
            The decoding parameters.
        limits (`TextLimits`):
            How long a text may be.
        model (`str`):
            Name of the model that writes.
        endpoint (`EndpointGenerator`, *optional*):
            The endpoint, if one writes.
    """

    arguments: AugmentArguments
    plan: Plan
    decoding: Decoding
    limits: TextLimits
    model: str
    endpoint: EndpointGenerator | None


def parse_augment_config(arguments: list[str], description: str | None = None) -> AugmentConfig:
    """
    Read a configuration from `--config FILE` and overrides such as `--genders woman man`.

    Args:
        arguments (`list[str]`):
            Command line without the program's name.
        description (`str`, *optional*):
            What `--help` says of the program.

    Returns:
        `AugmentConfig`: The configuration, checked.

    Raises:
        ConfigError: If a key does not exist or a value cannot be; the message lists everything that is wrong.
    """
    if any(word.replace("-", "_").startswith("__api_key") for word in arguments):
        # Not by the parser, which would repeat the key.
        raise ConfigError(f"There is no key `api_key`: set the environment variable {KEY_VARIABLE}.")
    (parsed,), problems = read_arguments([AugmentArguments], arguments, description)
    problems += _check_columns(parsed)
    made: dict[str, Any] = {}
    for name, make in _parts(parsed).items():
        try:
            made[name] = make()
        except (ValueError, ImportError) as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return AugmentConfig(arguments=parsed, **made)


def read_seeds(arguments: AugmentArguments) -> list[Seed]:
    """
    Read the seeds.

    Args:
        arguments (`AugmentArguments`):
            The file and its columns.

    Returns:
        `list[Seed]`: The seeds in their order.

    Raises:
        ConfigError: If the file cannot be read or is not UTF-8, a column is missing, a value is empty, a text is
            none, an id or a label is a list or a mapping, or an id comes twice.
    """
    assert arguments.seed_file is not None  # checked with the configuration
    rows = load_rows(arguments.seed_file, "seed_file")
    ids, texts = (_column(rows, arguments, field) for field in ("id_column", "text_column"))
    labels = _column(rows, arguments, "label_column") if arguments.label_column else [None] * len(rows)
    twice = [name for name, count in Counter(map(str, ids)).items() if count > 1]
    if twice:
        raise ConfigError(
            f"`id_column`: {len(twice)} ids of {arguments.seed_file} come more than once, such as '{twice[0]}'. "
            "Number the rows anew, or name another column."
        )
    return [Seed(str(name), text, label) for name, text, label in zip(ids, texts, labels, strict=True)]


def make_generator(config: AugmentConfig) -> Generator:
    """
    Make what writes.

    Args:
        config (`AugmentConfig`):
            The configuration.

    Returns:
        `Generator`: The endpoint, or the model, loaded.

    Raises:
        ConfigError: If the model cannot be loaded.
    """
    if config.endpoint is not None:
        return config.endpoint
    trust = config.arguments.trust_remote_code
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, trust_remote_code=trust)
        model = AutoModelForCausalLM.from_pretrained(
            config.model,
            dtype="auto",
            device_map="auto",
            use_safetensors=True,
            trust_remote_code=trust,
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"`model`: {config.model} cannot be loaded: {reason}") from error
    return LocalGenerator(model, tokenizer, batch_size=config.arguments.batch_size)


def _parts(arguments: AugmentArguments) -> dict[str, Callable[[], object]]:
    task = arguments.task or default_task(labelled=arguments.label_column is not None)
    aligned = arguments.aligned
    arm = "plain" if aligned is None else "aligned-prompt" if aligned == _ALIGNED_PROMPT else "aligned-model"
    model = aligned if arm == "aligned-model" else arguments.model

    def plan() -> Plan:
        types = bias_types(arguments.contexts, arguments.scopes, arguments.signals)
        chosen = arguments.attributes, arguments.genders, arguments.cultures
        return Plan(types, *chosen, task=task, repeats=arguments.repeats, arm=arm)

    def endpoint() -> EndpointGenerator | None:
        if arguments.endpoint is None:
            return None
        return EndpointGenerator(
            arguments.endpoint,
            api_key=os.environ.get(KEY_VARIABLE, ""),
            concurrency=arguments.concurrency,
            requests_per_minute=arguments.requests_per_minute,
            timeout=arguments.timeout,
            max_retries=arguments.max_retries,
        )

    return {
        "plan": plan,
        "decoding": lambda: Decoding(arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed),
        "limits": lambda: TextLimits(arguments.min_words, arguments.max_words),
        "model": lambda: _required(model, "model", "the model that writes"),
        "endpoint": endpoint,
    }


def _check_columns(arguments: AugmentArguments) -> Iterator[str]:
    if arguments.seed_file is None:
        yield "`seed_file` is missing: name a CSV or JSONL file, or a data set of the Hub, of the rows to start from."
    task, label = arguments.task, arguments.label_column
    if task is not None and "$label" in task and label is None:
        yield "`task` holds `$label`, so name the column of the labels, `label_column`."
    if task is not None and "$label" not in task and label is not None and "contextless" in arguments.contexts:
        yield (
            "Contextless prompts hold nothing of the seed but its label, so with `label_column` let `task` name it "
            "(`$label`), or leave out the level `contextless`."
        )
    if arguments.batch_size < 1:
        yield f"`batch_size` must be at least 1, got {arguments.batch_size}."
    for name in ("price_prompt", "price_completion"):
        if not getattr(arguments, name) >= 0:
            yield f"`{name}` must be at least 0, got {getattr(arguments, name)}."


def _required(value: str | None, field: str, what: str) -> str:
    if not value:
        raise ValueError(f"`{field}` is missing: name {what}.")
    return value


def _column(rows: Dataset, arguments: AugmentArguments, field: str) -> list[Any]:
    column = getattr(arguments, field)
    if column not in rows.column_names:
        known = ", ".join(rows.column_names)
        raise ConfigError(f"`{field}`: '{column}' is not a column of {arguments.seed_file} (columns: {known}).")
    values = list(rows[column])
    kinds, wanted = ((str,), "texts") if field == "text_column" else ((str, int, float), "texts or numbers")
    for number, value in enumerate(values, start=1):
        if is_empty(value):
            raise ConfigError(f"`{field}`: '{column}' is empty in row {number} of {arguments.seed_file}.")
        if not isinstance(value, kinds):
            got = f"{str(value)[:40]!r} ({type(value).__name__})"
            raise ConfigError(
                f"`{field}`: '{column}' must hold {wanted}, got {got} in row {number} of {arguments.seed_file}."
            )
    feature = rows.features[column]
    return [feature.int2str(value) for value in values] if isinstance(feature, ClassLabel) else values
