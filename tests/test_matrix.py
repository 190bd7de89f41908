"""
Every mitigation in every trainer: it acts, and the same run without it does not; or training does not start.

The table of the README is what these tests show.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.matrix_cells import CELLS, MITIGATIONS
from tests.matrix_runs import AUGMENTED, ONLINE, HOSTS, make_trainer, run

TAG, MASK = "<|augmented|>", "<mask>"
SENSITIVE = "she"  # in augmented rows, that is; real ones have "he"
AUGMENTED_WORDS = {word for pair in AUGMENTED for text in pair for word in text.split()}


@pytest.fixture(params=CELLS, ids=str)
def cell(request):
    if request.param.way == "four-bits":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install bitsandbytes")
    return request.param


def acts(mitigation):
    return [cell for cell in CELLS if mitigation not in cell.refused]


class TestToken:
    @pytest.mark.parametrize("cell", acts("token"), ids=str)
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
    @pytest.mark.parametrize("cell", acts("mask"), ids=str)
    def test_it_masks_sensitive_words_of_augmented_rows(self, cell):
        plain, masked = run(cell.host, cell.way, None), run(cell.host, cell.way, "mask")
        assert masked.rows == [[MASK if word == SENSITIVE else word for word in row] for row in plain.rows]
        assert masked.counted == [word for word in plain.counted if word != SENSITIVE]
        assert masked.rows != plain.rows
        assert masked.log["provenance/masked_words"] > 0


class TestLoss:
    @pytest.mark.parametrize("cell", acts("loss"), ids=str)
    def test_its_term_changes_the_step(self, cell):
        plain, with_term = run(cell.host, cell.way, None), run(cell.host, cell.way, "loss")
        weightless = run(cell.host, cell.way, "weightless")
        assert with_term.log["alignment/mean"] > 0
        assert with_term.log["alignment/coverage"] == 1
        assert "alignment/mean" not in plain.log
        assert torch.equal(weightless.weights, plain.weights)
        assert not torch.allclose(with_term.weights, plain.weights, rtol=1e-2, atol=0)
        assert (with_term.rows, with_term.counted) == (plain.rows, plain.counted)


class TestRefusals:
    @pytest.mark.parametrize(
        ("cell", "mitigation"), [(cell, name) for cell in CELLS for name in cell.refused], ids=str
    )
    def test_training_does_not_start(self, cell, mitigation):
        trainer, _ = make_trainer(cell.host, cell.way, mitigation)
        with pytest.raises(ValueError, match=cell.refused[mitigation]):
            trainer.train()
        assert trainer.state.global_step == 0
