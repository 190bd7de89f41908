"""Mixes of streams: the bias ratio holds all along, in every worker, and after a resumption."""

import pytest
from datasets import Dataset, IterableDataset, interleave_datasets
from datasets.distributed import split_dataset_by_node
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mitigate.streaming import mix_streams


def stream(name, count, shards=1):
    return Dataset.from_dict({"text": [f"{name} {i}" for i in range(count)]}).to_iterable_dataset(num_shards=shards)


def texts(rows):
    return [row["text"] for row in rows]


@settings(max_examples=40, deadline=None)
@given(ratio=st.floats(0, 0.99), real=st.integers(1, 120), augmented=st.integers(1, 120), seed=st.integers(0, 9))
def test_the_ratio_of_every_beginning_is_exact_and_no_row_is_lost_or_doubled(ratio, real, augmented, seed):
    rows = list(mix_streams(stream("real", real), stream("augmented", augmented), bias_ratio=ratio, seed=seed))
    written = 0
    for count, row in enumerate(rows, start=1):
        written += row["augmented"]
        assert abs(written - ratio * count) < 1 + 1e-6
    assert texts(row for row in rows if not row["augmented"]) == [f"real {i}" for i in range(len(rows) - written)]
    assert texts(row for row in rows if row["augmented"]) == [f"augmented {i}" for i in range(written)]
    assert len(rows) - written == real or written == augmented


def test_blocks_are_exact_and_random_within():
    mixed = mix_streams(stream("r", 1500), stream("a", 700), bias_ratio=0.3, seed=0).take(2000)
    blocks = [tuple(batch["augmented"]) for batch in mixed.batch(10)]
    assert [sum(block) for block in blocks] == [3] * 200
    shares = [sum(places) / 200 for places in zip(*blocks, strict=True)]
    assert all(abs(share - 0.3) < 4 * (0.3 * 0.7 / 200) ** 0.5 for share in shares)
    assert len(set(blocks)) > 20


def test_at_a_bias_ratio_of_0_it_is_the_real_rows():
    assert texts(mix_streams(stream("r", 3), stream("a", 9), bias_ratio=0, seed=0)) == ["r 0", "r 1", "r 2"]


def test_the_order_depends_on_the_seed():
    first, again, other = (
        texts(mix_streams(stream("r", 20), stream("a", 20), bias_ratio=0.5, seed=seed)) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_streams_without_end_and_without_known_columns():
    def endless():
        yield from ({"text": "x"} for _ in iter(int, 1))

    real, augmented = (IterableDataset.from_generator(endless) for _ in range(2))
    mixed = mix_streams(real, augmented, bias_ratio=0.2, seed=0)
    assert sum(row["augmented"] for row in mixed.take(1000)) == 200


def test_shuffling_the_streams_keeps_the_ratio_and_shuffling_the_mix_keeps_the_rows():
    real, augmented = stream("real", 90, 3), stream("augmented", 90, 3)
    shuffled = mix_streams(
        real.shuffle(seed=0, buffer_size=20), augmented.shuffle(seed=0, buffer_size=20), bias_ratio=0.3, seed=0
    )
    flags = [row["augmented"] for row in shuffled]
    assert all(sum(flags[start : start + 10]) == 3 for start in range(0, len(flags) - 9, 10))
    mixed = mix_streams(real, augmented, bias_ratio=0.3, seed=0).shuffle(seed=0, buffer_size=20)
    rows, again = list(mixed), list(mixed)
    assert rows == again and len(set(texts(rows))) == len(rows)
    assert abs(sum(row["augmented"] for row in rows) - 0.3 * len(rows)) < 1
    mixed.set_epoch(1)
    assert texts(mixed) != texts(rows)


@pytest.mark.parametrize("at", [1, 7, 59])
def test_it_resumes_at_the_next_row(at):
    mixed = mix_streams(stream("real", 60, 2), stream("augmented", 40, 2), bias_ratio=0.37, seed=0)
    whole, rows = list(mixed), iter(mixed)
    first = [next(rows) for _ in range(at)]
    state = mixed.state_dict()
    other = mix_streams(stream("real", 60, 2), stream("augmented", 40, 2), bias_ratio=0.37, seed=0)
    other.load_state_dict(state)
    assert first + list(other) == whole


def test_workers_share_the_shards_and_each_has_the_ratio():
    mixed = mix_streams(stream("real", 80, 2), stream("augmented", 80, 4), bias_ratio=0.2, seed=0)
    assert mixed.num_shards == 2
    batches = list(DataLoader(mixed, batch_size=10, num_workers=2))  # a batch comes from one worker
    assert [int(batch["augmented"].sum()) for batch in batches] == [2] * len(batches)
    seen = [text for batch in batches for text in batch["text"]]
    assert len(set(seen)) == len(seen) >= 98


def test_nodes_share_the_rows():
    mixed = mix_streams(stream("real", 80, 2), stream("augmented", 80, 2), bias_ratio=0.2, seed=0)
    nodes = [list(split_dataset_by_node(mixed, rank, world_size=2)) for rank in range(2)]
    assert all(abs(sum(row["augmented"] for row in node) - 0.2 * len(node)) < 1 for node in nodes)
    assert len(set(texts(nodes[0] + nodes[1]))) == len(nodes[0]) + len(nodes[1]) >= 98


def test_nodes_that_take_every_other_row_both_see_both_kinds():
    mixed = mix_streams(stream("real", 400), stream("augmented", 400), bias_ratio=0.5, seed=0)
    for rank in range(2):
        flags = [row["augmented"] for row in split_dataset_by_node(mixed, rank, world_size=2)]
        assert abs(sum(flags) - len(flags) / 2) < 4 * (0.25 * len(flags)) ** 0.5


def test_what_datasets_offers_strays():
    # If this fails one day, there may be a way to do without a class of our own.
    mixed = interleave_datasets([stream("r", 500), stream("a", 500)], probabilities=[0.8, 0.2], seed=0)
    flags = [text.startswith("a") for text in texts(mixed)]
    assert any(abs(sum(flags[:count]) - 0.2 * count) > 1 for count in range(len(flags)))


@pytest.mark.parametrize(
    ("real", "options", "message"),
    [
        (stream("r", 3), {"bias_ratio": 1.0, "seed": 0}, r"must lie in \[0, 1\)"),
        (stream("r", 3), {"bias_ratio": 0.5, "seed": -1}, "`seed` must be a whole number in"),
        (
            stream("r", 3).rename_column("text", "prompt"),
            {"bias_ratio": 0.5, "seed": 0},
            r"same columns, got \['prompt'\]",
        ),
        (IterableDataset.from_generator(lambda: iter(())), {"bias_ratio": 0.5, "seed": 0}, "of real rows has no row"),
        (stream("r", 3), {"bias_ratio": 0.5, "seed": 0, "column": "text"}, "`text` is a column of the rows already"),
    ],
)
def test_what_cannot_be_mixed_is_refused(real, options, message):
    with pytest.raises(ValueError, match=message):
        mix_streams(real, stream("a", 3), **options)
