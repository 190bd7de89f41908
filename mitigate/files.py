"""Files and folders that appear when they are complete, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: str | Path, text: str) -> None:
    """
    Write a text file under a temporary name, and then rename it.

    Args:
        path (`str` or `Path`):
            The file; its folder must exist.
        text (`str`):
            What is in it, as UTF-8.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """
    Fill a folder under a temporary name, and then rename it, unless another process was first with the same content.

    Args:
        folder (`Path`):
            The folder, which is not there yet.

    Yields:
        `Path`: The temporary folder, to be filled. After an exception it is removed, and the other does not appear.

    Raises:
        OSError: If it cannot be renamed, and no other process was first.
    """
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
