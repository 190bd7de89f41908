"""Files, folders and word lists of a user's own: nothing of them is changed or passed over without a word."""

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from pyarrow import parquet

from mitigate.data_files import read_dataset
from mitigate.lexicons import load_lexicon
from mitigate.mixing import mix
from mitigate.streaming import mix_streams
from mitigate.twins.making import make_twins

ROW = '{"text": "a", "label": "b"}\n'


@pytest.fixture
def folder(tmp_path):
    def make(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path)

    return make


class TestFolders:
    def test_its_files_are_read_as_single_ones_are(self, folder):
        found = read_dataset(folder(train_csv="text,label\n007,None\n", test_csv="text,label\nb,NA\n"), split="train")
        assert found.to_dict() == {"text": ["007"], "label": ["None"]}

    def test_all_files_of_the_split_are_read(self, folder):
        assert len(read_dataset(folder(a_jsonl=ROW, b_jsonl=ROW * 2), split="train")) == 3

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"train_csv": "text,label\na,b,c\n"}, r"train\.csv has 3 cells in row 1, and 2 columns"),
            ({"train_jsonl": b'{"text": "\xe9"}\n'}, r"train\.jsonl is not in UTF-8: line 1"),
            ({"a_jsonl": ROW, "b_jsonl": ROW, "c_csv": "text,label\na,b\n"}, r"c\.csv would be passed over"),
            ({"train_jsonl": ""}, r"train\.jsonl has no rows"),
            ({"test_jsonl": ROW}, r"has no split 'train' \(splits: test\)"),
            ({}, "cannot be read: .*any data files"),
        ],
    )
    def test_what_is_wrong_with_one(self, folder, files, message):
        with pytest.raises(ValueError, match=message):
            read_dataset(folder(**files), split="train")


class TestJson:
    def test_a_text_that_looks_like_a_date_is_one(self, folder):
        path = folder(rows_jsonl='{"text": "2020-01-01"}\n{"text": "2020-01-02"}\n')
        assert read_dataset(f"{path}/rows.jsonl", split="train")["text"] == ["2020-01-01", "2020-01-02"]

    def test_two_classes_that_would_become_one(self, folder):
        path = folder(rows_jsonl='{"label": "01"}\n{"label": 1}\n')
        with pytest.raises(ValueError, match=r"values of several kinds in column 'label' \(int, str\)"):
            read_dataset(f"{path}/rows.jsonl", split="train")

    def test_half_of_a_character_in_a_list(self, folder):
        with pytest.raises(ValueError, match=r"rows\.json has half of a character in row 1 \(\\ud800"):
            read_dataset(folder(rows_json='[{"text": "\\ud800"}]') + "/rows.json", split="train")


class TestParquet:
    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (None, r"rows\.parquet cannot be read as Parquet"),
            (pa.table({"text": pa.array([], pa.string())}), r"rows\.parquet has no rows"),
            (pa.table([["a"], ["b"]], names=["text", "text"]), "has 2 columns 'text'"),
        ],
        ids=["broken", "empty", "twice"],
    )
    def test_what_is_refused(self, tmp_path, table, message):
        path = tmp_path / "rows.parquet"
        path.write_bytes(b"no") if table is None else parquet.write_table(table, path)
        with pytest.raises(ValueError, match=message):
            read_dataset(str(path), split="train")


class TestWordLists:
    def test_a_mark_of_the_encoding_is_no_part_of_the_first_word(self, tmp_path):
        path = tmp_path / "words.txt"
        path.write_text("# kind: job\nshe\nhe\n", encoding="utf-8-sig")
        lexicon = load_lexicon(path)
        assert lexicon.words == ("she", "he")
        assert lexicon.kind("she") == "job"

    def test_another_encoding_is_told_with_its_file(self, tmp_path):
        path = tmp_path / "words.txt"
        path.write_bytes("señora\n".encode("latin-1"))
        with pytest.raises(ValueError, match=r"`lexicon`: .*words\.txt is not in UTF-8"):
            load_lexicon(path)

    @pytest.mark.parametrize("word", [None, 3])
    def test_what_is_no_word(self, word):
        with pytest.raises(ValueError, match=f"must hold words, names of lexicons and paths, got {word}"):
            load_lexicon(["she", word])


class TestRows:
    rows = Dataset.from_dict({"text": ["she works"]})

    def test_splits_are_not_rows(self):
        with pytest.raises(ValueError, match="`augmented` must be a `Dataset`, such as one split of a `DatasetDict`"):
            mix(self.rows, DatasetDict(train=self.rows), seed=0)

    @pytest.mark.parametrize("seed", [-1, "0"])
    def test_seeds(self, seed):
        with pytest.raises(ValueError, match="`seed` must be a whole number"):
            mix(self.rows, self.rows, seed=seed)

    def test_rows_in_memory_are_no_stream(self):
        with pytest.raises(ValueError, match=r"`real` must be an `IterableDataset`, .* `to_iterable_dataset\(\)`"):
            mix_streams(self.rows, self.rows.to_iterable_dataset(), bias_ratio=0.5, seed=0)

    def test_a_name_is_no_list_of_names(self):
        with pytest.raises(ValueError, match=r"`columns` must be a list of names, got 'text'\. Pass \['text'\]"):
            make_twins(self.rows, columns="text")
