"""Files and folders that appear when they are complete, so that nobody ever sees half of one."""

from __future__ import annotations

import shutil
import uuid
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
    temporary = _temporary(target)
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
    unfinished = _temporary(folder)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _temporary(path: Path) -> Path:
    # Not by the process id, which another machine that shares the disk has as well.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
