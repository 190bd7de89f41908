"""Short names for what files hold."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_LENGTH = 16


def digest_path(path: Path, pattern: str = "**/*") -> str:
    """
    Name the content of a file or folder, wherever it lies.

    Args:
        path (`Path`):
            The file, or the folder.
        pattern (`str`, *optional*, defaults to `"**/*"`):
            Which files of a folder count; hidden ones never do.

    Returns:
        `str`: Sixteen hexadecimal digits, and the suffix of a file, which tells how it is read.
    """
    if not path.is_dir():
        return f"{_digest(path)}{path.suffix}"
    names = sorted(found.relative_to(path) for found in path.glob(pattern) if found.is_file())
    visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    listed = "\n".join(f"{name.as_posix()} {_digest(path / name)}" for name in visible)
    return hashlib.sha256(listed.encode()).hexdigest()[:_LENGTH]


def _digest(path: Path) -> str:
    found = path.stat()
    return _digest_of(path.resolve(), found.st_size, found.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, changed: int) -> str:
    """Read a file once, though every cell is named by what is in it; size and time tell whether it has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_LENGTH]
