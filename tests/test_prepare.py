"""Preparation of opinions and biographies, on tiny files that are written here."""

import csv
import itertools
import json
from collections import Counter

import pytest

from mitigate.recipes import prepare_biographies, prepare_opinions
from mitigate.recipes.prepare_biographies import (
    NEUTRAL_WORD,
    first_names,
    normalise,
    occupation_pattern,
    split_pairs,
)
from mitigate.recipes.prepare_opinions import clean, sample, training_rows

ROW = {
    "question": "Is  it\n\ngood?",
    "country": "Brazil",
    "options": ["Yes", 2.0, "Don't know", "Missing; Unknown", "Depends (VOL)"],
    "human": [0.3, 0.1, 0.3, 0.2, 0.1],
    "llm": [0.2, 0.6, 0.1, 0.1, 0.0],
}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestOpinions:
    def test_what_is_no_opinion_is_left_out_and_the_rest_renormalised(self):
        item = clean(ROW)
        assert item.options == ("Yes", "2.0", "Depends (VOL)")
        assert item.human == pytest.approx((0.6, 0.2, 0.2))
        assert item.llm == pytest.approx((0.25, 0.75, 0.0))

    def test_prompt_ends_where_the_letter_follows(self):
        assert clean(ROW).prompt == (
            "Country: Brazil\nQuestion: Is it good?\nA: Yes\nB: 2.0\nC: Depends (VOL)\nAnswer:"
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"llm": [0.5, 0.5]},  # nobody knows whose the shares are
            {"human": [0.0, 0.0, 1.0, 0.0, 0.0]},
            {"llm": [0.0, 0.0, 0.0, 1.0, 0.0]},
            {"options": ["Yes", "DK/Refused", "No answer", "Missing", "Don’t know"]},
            {"human": [-0.3, 0.7, 0.3, 0.2, 0.1]},
            {"llm": [float("nan"), 0.6, 0.1, 0.1, 0.2]},
            {"llm": None},
            {"country": None},
        ],
    )
    def test_unusable_items_are_left_out(self, change):
        assert clean({**ROW, **change}) is None

    def test_draws_follow_the_side_and_the_seed(self):
        item = clean({**ROW, "llm": [0, 1, 0, 0, 0]})
        assert {row["answer"] for row in training_rows([item], "llm", draws=50, seed=0)} == {"B"}
        real = [row["answer"] for row in training_rows([item], "human", draws=2000, seed=0)]
        assert {letter: n / 2000 for letter, n in Counter(real).items()} == pytest.approx(
            {"A": 0.6, "B": 0.2, "C": 0.2}, abs=0.04
        )
        assert real == [row["answer"] for row in training_rows([item], "human", draws=2000, seed=0)]
        assert real != [row["answer"] for row in training_rows([item], "human", draws=2000, seed=1)]

    def test_test_rows_hold_what_people_answered(self):
        (row,) = prepare_opinions.test_rows([clean(ROW)])
        assert row["options"] == ["A", "B", "C"]
        assert row["distribution"] == pytest.approx([0.6, 0.2, 0.2])

    def test_sample_keeps_as_many_of_each_country(self):
        items = [clean({**ROW, "country": country, "question": str(i)}) for i in range(5) for country in "xyz"]
        kept = sample(items, 2, seed=0)
        assert Counter(item.country for item in kept) == {"x": 2, "y": 2, "z": 2}
        assert sample(items, 0, seed=0) == items
        assert len(sample(items, 9, seed=0)) == 15

    def test_script_writes_three_files(self, tmp_path, capsys):
        rows = [ROW, {**ROW, "country": "China"}, {**ROW, "llm": []}, {**ROW, "question": "word " * 40}]
        source = write_lines(tmp_path / "rows.jsonl", rows)
        prepare_opinions.main(["--distributions", source, "--output_dir", "out", "--draws", "3", "--max_words", "30"])
        files = {name: read_lines(tmp_path / "out" / f"{name}.jsonl") for name in ("real", "augmented", "test")}
        assert {name: len(lines) for name, lines in files.items()} == {"real": 6, "augmented": 6, "test": 2}
        # Only the answers may tell the sources apart.
        assert [row["prompt"] for row in files["real"]] == [row["prompt"] for row in files["augmented"]]
        assert "1 of 4 items left out" in capsys.readouterr().out

    def test_nothing_to_use(self, tmp_path):
        source = write_lines(tmp_path / "rows.jsonl", [{**ROW, "llm": []}])
        with pytest.raises(SystemExit, match="none of the 1 rows"):
            prepare_opinions.main(["--distributions", source, "--output_dir", "out"])

    def test_lines_end_at_line_feeds_only(self, tmp_path):
        text = json.dumps({**ROW, "question": "Is it\u2028good?\x85"}, ensure_ascii=False)
        (tmp_path / "rows.jsonl").write_text(text + "\n", encoding="utf-8")
        prepare_opinions.main(["--distributions", "rows.jsonl", "--output_dir", "out", "--draws", "2"])
        assert len(read_lines(tmp_path / "out" / "test.jsonl")) == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "There is no file"),
            (b"", "has no rows"),
            (b"\xff", "not in UTF-8"),
            (b"{", "no valid JSON in line 1"),
            (b'{"question": "q", "country": "A", "options": ["a", "b"], "human": [1, 1]}', "has no column 'llm'"),
        ],
    )
    def test_bad_files(self, tmp_path, content, message):
        if content is not None:
            (tmp_path / "rows.jsonl").write_bytes(content)
        with pytest.raises(SystemExit, match=message):
            prepare_opinions.main(["--distributions", "rows.jsonl", "--output_dir", "out"])
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("flag", ["--draws=0", "--max_words=-1", "--items_per_country=-1"])
    def test_numbers_out_of_range(self, flag):
        with pytest.raises(ValueError, match=flag[2:].split("=")[0]):
            prepare_opinions.main(["--distributions", "x", "--output_dir", "out", flag])


REAL = [
    {
        "pair_id": str(pair),
        "gender": "f" if (pair + swapped) % 2 else "m",
        "swapped": str(swapped),
        "occupation": ("writer", "dancer", "pilot")[pair % 3],
        "text": f"Text {pair} of a songwriter and two Dancers, a ballerina by night.",
    }
    for pair in range(30)
    for swapped in (0, 1)
]
AUGMENTED = [
    {
        "name": name,
        "gender": gender,
        "occupation": occupation,
        "text": f"{name} is a {occupation.title()}, loved by other {occupation}s for writing about dancing. " * 3,
    }
    for name, gender in (("Ada Lovelace", "female"), ("Bob", "Male"))
    for occupation in ("writer", "dancer", "actor")
]


class TestBiographies:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a writer's life", "a person's life"),
            ("writers, dancers", "person, person"),
            ("singer-songwriter", "singer-person"),
            ("the prima ballerinas", "the prima person"),
            ("a danseuse", "a person"),
            ("typewritten dances in writing", "typewritten dances in writing"),
        ],
    )
    def test_occupation_words(self, text, expected):
        assert occupation_pattern(["writer", "dancer"]).sub(NEUTRAL_WORD, text) == expected

    def test_row_is_cut_and_lower_cased_and_genders_are_named_alike(self):
        row = {"gender": "F", "occupation": "writer", "text": "She, A  Writer\nand MORE words"}
        assert normalise(row, occupation_pattern(["writer"]), 4) == {
            "text": "she, a person and",
            "gender": "female",
            "occupation": "writer",
        }

    def test_unknown_gender(self):
        with pytest.raises(ValueError, match=r"got 'x'"):
            normalise({"gender": "x", "occupation": "writer", "text": "t"}, occupation_pattern(["writer"]), 4)

    def test_pairs_are_not_split(self):
        train, test = split_pairs(REAL, 0.3, seed=0)
        assert {row["pair_id"] for row in train}.isdisjoint(row["pair_id"] for row in test)
        assert {row["swapped"] for row in train} == {"0"}
        assert set(Counter(row["pair_id"] for row in test).values()) == {2}
        assert Counter(row["occupation"] for row in test) == {"writer": 6, "dancer": 6, "pilot": 6}
        assert len(train) == 21
        assert split_pairs(REAL, 0.3, seed=0) == (train, test)
        assert split_pairs(REAL, 0.3, seed=1) != (train, test)

    def test_first_names(self):
        assert first_names(["Zoe Roe", "ada", "Ada Poe", " "]) == ["ada", "zoe"]

    def test_script_writes_four_files(self, tmp_path):
        real = write_csv(tmp_path / "r.csv", REAL)
        augmented = write_csv(tmp_path / "a.csv", AUGMENTED)
        prepare_biographies.main(
            ["--real", real, "--augmented", augmented, "--output_dir", "out", "--max_words", "12"]
        )
        files = {name: read_csv(tmp_path / "out" / f"{name}.csv") for name in ("real", "augmented", "test")}
        assert {name: len(rows) for name, rows in files.items()} == {"real": 14, "augmented": 4, "test": 12}
        for row in itertools.chain(*files.values()):
            assert row["occupation"] in ("writer", "dancer")
            assert row["gender"] in ("female", "male")
            assert row["text"] == row["text"].lower()
            assert len(row["text"].split()) <= 12
            assert not {"writer", "writers", "dancer", "dancers", "songwriter"} & set(row["text"].split())
        assert (tmp_path / "out" / "names.txt").read_text(encoding="utf-8") == "ada\nbob\n"

    def test_missing_column(self, tmp_path):
        real = write_csv(tmp_path / "r.csv", REAL)
        with pytest.raises(SystemExit, match="has no column 'name'"):
            prepare_biographies.main(["--real", real, "--augmented", real, "--output_dir", "out"])

    def test_swapped_as_a_truth_value(self, tmp_path):
        spelled = [{**row, "swapped": str(row["swapped"] == "1")} for row in REAL]
        paths = [write_csv(tmp_path / f"{i}.csv", rows) for i, rows in enumerate((REAL, spelled))]
        augmented = write_csv(tmp_path / "a.csv", AUGMENTED)
        for i, real in enumerate(paths):
            prepare_biographies.main(["--real", real, "--augmented", augmented, "--output_dir", f"out{i}"])
        assert read_csv(tmp_path / "out0" / "real.csv") == read_csv(tmp_path / "out1" / "real.csv") != []

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([{**row, "swapped": "no"} for row in REAL], "`swapped` must be one of 0, 1, False and True, got 'no'"),
            ([{**row, "swapped": "1"} for row in REAL], "No row is left for real.csv"),
            (REAL[2:4], "No row is left for test.csv"),
            ([{**row, "gender": "x"} for row in REAL], "`gender` must be one of"),
        ],
    )
    def test_what_cannot_be_prepared_writes_nothing(self, tmp_path, rows, message):
        real, augmented = write_csv(tmp_path / "r.csv", rows), write_csv(tmp_path / "a.csv", AUGMENTED)
        with pytest.raises(SystemExit, match=message):
            prepare_biographies.main(["--real", real, "--augmented", augmented, "--output_dir", "out"])
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("content", [None, b"", b"pair_id,gender\n\xff,f\n"])
    def test_bad_files(self, tmp_path, content):
        if content is not None:
            (tmp_path / "r.csv").write_bytes(content)
        with pytest.raises(SystemExit, match=r"There is no file|has no rows|not in UTF-8"):
            prepare_biographies.main(["--real", "r.csv", "--augmented", "r.csv", "--output_dir", "out"])

    @pytest.mark.parametrize("flag", ["--test_share=1", "--max_words=0"])
    def test_numbers_out_of_range(self, flag):
        with pytest.raises(ValueError, match=flag[2:].split("=")[0]):
            prepare_biographies.main(["--real", "r", "--augmented", "a", "--output_dir", "out", flag])
