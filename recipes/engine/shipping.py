"""A model that was trained here, as bytes for a machine that cannot see this one's disk."""

from __future__ import annotations

from pathlib import Path

from mitigate.files import complete_folder


def read_folder(folder: Path) -> dict[str, bytes]:
    """
    Read a folder without folders in it, as a saved model is.

    Args:
        folder (`Path`):
            The folder.

    Returns:
        `dict[str, bytes]`: What is in each file.
    """
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """
    Write a folder, unless it is there. It appears when all files are complete.

    Args:
        folder (`Path`):
            The folder.
        files (`dict[str, bytes]`):
            What [`read_folder`] returned.
    """
    if folder.is_dir():
        return
    with complete_folder(folder) as unfinished:
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
