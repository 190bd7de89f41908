"""
Every mitigation in every trainer: it acts, and the same run without it does not; or training does not start.

The table of the README is what these tests show.
"""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.matrix_cells import CELLS, ELSEWHERE, MITIGATIONS
from tests.matrix_runs import AUGMENTED, HOSTS, ONLINE, make_trainer, run
from tests.test_distributed import LAUNCHES

README = Path(__file__).parent.parent / "README.md"

TAG, MASK = "<|augmented|>", "<mask>"
SENSITIVE = "she"  # in augmented rows, that is; real ones have "he"
AUGMENTED_WORDS = {word for pair in AUGMENTED for text in pair for word in text.split()}


def acts(mitigation):
    return [pytest.param(cell, id=str(cell), marks=_marks(cell)) for cell in CELLS if mitigation not in cell.refused]


def _marks(cell):
    missing = cell.way == "four-bits" and importlib.util.find_spec("bitsandbytes") is None
    slow = [pytest.mark.slow] if cell.way == "compile" else []
    return [*slow, pytest.mark.skipif(missing, reason="bitsandbytes is not installed (make EXTRA=ci)")]


class TestToken:
    @pytest.mark.parametrize("cell", acts("token"))
    def test_it_tags_augmented_rows(self, cell):
        plain, tagged = run(cell.host, cell.way, None), run(cell.host, cell.way, "token")
        followers = [row[place + 1] for row in tagged.rows for place, word in enumerate(row) if word == TAG]
        assert set(followers) <= AUGMENTED_WORDS
        assert len(followers) >= max(4, sum(row[0] in AUGMENTED_WORDS for row in plain.rows))
        assert not any(TAG in row for row in plain.rows)
        if HOSTS[cell.host][2] is not ONLINE:  # where the answers differ
            assert [[word for word in row if word != TAG] for row in tagged.rows] == plain.rows
            # After a tag, the first word of a text has something to be told by.
            assert TAG not in tagged.counted
            assert not Counter(plain.counted) - Counter(tagged.counted)
            assert (Counter(tagged.counted) - Counter(plain.counted)).total() <= len(followers)


class TestMask:
    @pytest.mark.parametrize("cell", acts("mask"))
    def test_it_masks_sensitive_words_of_augmented_rows(self, cell):
        plain, masked = run(cell.host, cell.way, None), run(cell.host, cell.way, "mask")
        assert masked.rows == [[MASK if word == SENSITIVE else word for word in row] for row in plain.rows]
        assert masked.counted == [word for word in plain.counted if word != SENSITIVE]
        assert masked.rows != plain.rows
        assert masked.log["provenance/masked_words"] > 0


class TestLoss:
    @pytest.mark.parametrize("cell", acts("loss"))
    def test_its_term_changes_the_step(self, cell):
        plain, with_term = run(cell.host, cell.way, None), run(cell.host, cell.way, "loss")
        weightless = run(cell.host, cell.way, "weightless")
        assert with_term.log["alignment/mean"] > 0
        assert with_term.log["alignment/coverage"] == 1
        assert "alignment/mean" not in plain.log
        assert torch.equal(weightless.weights, plain.weights)
        assert not torch.allclose(with_term.weights, plain.weights, rtol=1e-2, atol=0)
        assert (with_term.rows, with_term.counted) == (plain.rows, plain.counted)


@pytest.mark.parametrize(
    ("cell", "mitigation"), [pytest.param(cell, name, id=f"{cell}-{name}") for cell in CELLS for name in cell.refused]
)
def test_where_it_is_refused_training_does_not_start(cell, mitigation):
    trainer, _ = make_trainer(cell.host, cell.way, mitigation)
    with pytest.raises(ValueError, match=cell.refused[mitigation]):
        trainer.train()
    assert trainer.state.global_step == 0


class TestTheTableOfTheReadme:
    def shown(self):
        """Marks of every row, as the tests show them."""
        marks = {row: marks for row, (*_, marks) in ELSEWHERE.items()}
        for cell in CELLS:
            mine = tuple("refused" if mitigation in cell.refused else "✓" for mitigation in MITIGATIONS)
            assert marks.setdefault(cell.row, mine) == mine, f"{cell} is unlike others of its row"
        return marks

    def told(self):
        """Marks of every row, as the README tells them; what follows a tick is a remark."""
        section = README.read_text().split("### Where it works")[1].split("\n## ")[0]
        head, _, *lines = re.findall(r"^\|(.*) \|$", section, re.MULTILINE)
        assert head.split(" | ") == ["", *MITIGATIONS]
        table = (line.strip().split(" | ") for line in lines)
        return {row: tuple(mark[:1] if mark[0] == "✓" else mark for mark in marks) for row, *marks in table}

    def test_it_tells_what_the_tests_show(self):
        told, shown = self.told(), self.shown()
        untested = {row for row, marks in told.items() if {*marks} == {"not tested"}}
        assert {row: marks for row, marks in told.items() if row not in untested} == shown
        assert "GPUs, fp16" in untested

    @pytest.mark.parametrize(("file", "test"), [where[:2] for where in ELSEWHERE.values()])
    def test_what_is_shown_elsewhere_is_there(self, file, test):
        assert hasattr(importlib.import_module(f"tests.{file}"), test)

    def test_processes_are_started_in_every_way_that_it_names(self):
        assert {"ddp", "fsdp2", "zero2", "zero3"} <= {launch.id for launch in LAUNCHES}
