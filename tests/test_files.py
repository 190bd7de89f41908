"""Files and folders that appear only when they are complete."""

import os
from pathlib import Path

import pytest

from mitigate.files import complete_folder, replace_file


def test_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    replace_file(path, "old")

    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "half \ud800")

    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_folder_is_not_there_until_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "base"

    with complete_folder(folder) as unfinished:
        (unfinished / "weights").write_text("all")
        assert not folder.exists()

    assert (folder / "weights").read_text() == "all"
    assert os.listdir(folder.parent) == ["base"]


def test_folder_that_cannot_be_filled_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad row"), complete_folder(tmp_path / "base") as unfinished:
        (unfinished / "weights").write_text("half")
        raise ValueError("bad row")

    assert os.listdir(tmp_path) == []


def test_folder_of_the_process_that_was_first_stays(tmp_path: Path) -> None:
    folder = tmp_path / "base"

    with complete_folder(folder) as unfinished:
        (unfinished / "weights").write_text("second")
        folder.mkdir()
        (folder / "weights").write_text("first")

    assert (folder / "weights").read_text() == "first"
    assert os.listdir(tmp_path) == ["base"]


def test_folder_that_cannot_be_renamed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError), complete_folder(tmp_path / "base") as unfinished:
        (tmp_path / "base").write_text("a file of this name")
        (unfinished / "weights").write_text("all")


def test_two_that_fill_a_folder_in_one_process_id_do_not_meet(tmp_path: Path) -> None:
    folder = tmp_path / "base"

    with complete_folder(folder) as slow:
        (slow / "left over").write_text("half")
        with complete_folder(folder) as fast:
            (fast / "weights").write_text("all")

    assert os.listdir(folder) == ["weights"]
    assert os.listdir(tmp_path) == ["base"]
