"""Answers kept on the disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel


def fingerprint(model: PreTrainedModel) -> str:
    """
    Hash what a model's answers depend on: weights, configuration, and adapters with their scale and state.

    Args:
        model (`PreTrainedModel`):
            The model.

    Returns:
        `str`: 40 hexadecimal digits; equal for models that are equal in all of this.
    """
    config = model.config.to_dict()
    for name in ("_name_or_path", "transformers_version"):
        config.pop(name, None)
    adapters = {name: adapter.to_dict() for name, adapter in getattr(model, "peft_config", {}).items()}
    described = [type(model).__name__, config, adapters, list(_adapter_states(model))]
    # Sets have another order in each process.
    text = json.dumps(
        described,
        sort_keys=True,
        default=lambda value: sorted(map(str, value)) if isinstance(value, set) else str(value),
    )
    digest = hashlib.blake2b(text.encode(), digest_size=20)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy())
    return digest.hexdigest()


def _adapter_states(model: PreTrainedModel) -> Iterator[list[Any]]:
    for name, module in model.named_modules():
        disabled = getattr(module, "disable_adapters", None)
        if isinstance(disabled, bool):  # a layer of PEFT
            merged, scaling = (getattr(module, known, None) for known in ("merged_adapters", "scaling"))
            yield [name, disabled, module.active_adapters, merged, scaling]


def stored_answers(cache: Path, keys: Iterable[str]) -> dict[str, str]:
    """
    Read answers.

    Args:
        cache (`Path`):
            SQLite file, which may not be there.
        keys (`Iterable[str]`):
            Keys of the answers.

    Returns:
        `dict[str, str]`: Answer by key, of those that are kept.
    """
    if not cache.is_file():
        return {}
    with closing(sqlite3.connect(cache, timeout=60)) as database:
        rows = (database.execute("SELECT key, answer FROM answers WHERE key = ?", (key,)).fetchone() for key in keys)
        return {row[0]: row[1] for row in rows if row is not None}


def store_answers(cache: Path, answers: Mapping[str, str]) -> None:
    """
    Keep answers.

    Args:
        cache (`Path`):
            SQLite file; it is made if it is not there.
        answers (`Mapping[str, str]`):
            Answer by key.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(cache, timeout=60)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", answers.items())
