"""Tables of a user: what is read, what is refused, what is drawn, and one whole sweep."""

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from mitigate.recipes import sweep
from mitigate.recipes.config import ConfigError, DataArguments
from mitigate.recipes.tasks import TableTask

LABELS = ("nurse", "pilot")


def rows(count, *, source="real", group=None):
    """Rows that have labels and groups in turn; each text is another."""
    return [
        {
            "text": f"{source} {i} {'she' if sex == 'female' else 'he'} {'cures' if label == 'nurse' else 'flies'}",
            "label": label,
            "group": sex,
        }
        for i in range(count)
        for label, sex in [(LABELS[i % 2], group or ("female", "male")[i // 2 % 2])]
    ]


def write(path, content):
    """A CSV or JSONL file, by its suffix."""
    path = Path(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(content[0]))
            writer.writeheader()
            writer.writerows(content)
        else:
            file.writelines(json.dumps(row) + "\n" for row in content)
    return str(path)


@pytest.fixture
def data(tmp_path):
    """Forty real, eighty augmented and eight test rows, in files of both kinds."""
    return DataArguments(
        real_file=write("real.csv", rows(40)),
        augmented_file=write("augmented.jsonl", rows(80, source="augmented")),
        test_file=write("test.csv", rows(8, source="test")),
        text_column="text",
        prompt_suffix=" occupation:",
        label_column="label",
        group_column="group",
        stereotypes=["nurse=female", "pilot=male"],
    )


@pytest.fixture
def opinions(tmp_path):
    """Opinions of two countries on one question."""
    prompts = {country: f"{country}: good? A: yes B: no Answer:" for country in ("Brazil", "China")}
    answers = [{"prompt": prompts[c], "country": c, "answer": a} for c in prompts for a in "AAB"]
    test = [
        {"prompt": prompts[c], "country": c, "options": ["A", "B"], "distribution": shares}
        for c, shares in (("Brazil", [1.0, 0.0]), ("China", [0.5, 0.5]))
    ]
    return DataArguments(
        real_file=write("real.jsonl", answers),
        augmented_file=write("augmented.jsonl", answers),
        test_file=write("test.jsonl", test),
        prompt_column="prompt",
        completion_column="answer",
        group_column="country",
        options_column="options",
        distribution_column="distribution",
    )


def change(data, **fields):
    return dataclasses.replace(data, **fields)


class TestReading:
    def test_rows_of_a_table(self, data):
        task = TableTask(data)
        assert task.corpus(seed=0)[0] == {
            "prompt": "real 0 she cures occupation:",
            "group": "female",
            "label": "nurse",
            "completion": " nurse",
        }
        assert task.test(seed=0)[1]["candidates"] == [" nurse", " pilot"]
        assert task.augmented(4, dose=0, seed=0)["prompt"][0].startswith("augmented")

    @pytest.mark.parametrize(
        ("name", "flags"),
        [
            ("mixed.csv", (True, False)),
            ("mixed.jsonl", (True, False)),
            ("mixed.csv", (1, 0)),
            ("mixed.csv", ("TRUE", "no")),
        ],
    )
    def test_a_column_tells_augmented_rows(self, data, name, flags):
        mixed = [{**row, "synthetic": flags[0]} for row in rows(12, source="augmented")]
        mixed += [{**row, "synthetic": flags[1]} for row in rows(8)]
        told = change(data, real_file=write(name, mixed), augmented_file=None, augmented_column="synthetic")
        if "no" in flags:
            with pytest.raises(ConfigError, match="must hold true and false, got 'no'"):
                TableTask(told)
            return
        task = TableTask(told)
        assert {prompt.split()[0] for prompt in task.corpus(seed=0)["prompt"]} == {"real"}
        assert len(task.corpus(seed=0)) == 8
        assert len(task.augmented(12, dose=0, seed=0)) == 12

    @pytest.mark.parametrize("name", ["rows [v2].csv", "rows.parquet", "rows.tsv"])
    def test_any_kind_and_name_of_file(self, data, name):
        Path("rows v.csv").write_text("text,label,group\nanother file,nurse,female\n", encoding="utf-8")
        content = Dataset.from_list(rows(40))
        if name.endswith(".parquet"):
            content.to_parquet(name)
        else:
            content.to_csv(name, sep="\t" if name.endswith(".tsv") else ",", index=False)
        assert TableTask(change(data, real_file=name)).corpus(seed=0)["prompt"][0] == "real 0 she cures occupation:"

    def test_words_that_look_like_missing_values_are_kept(self, data):
        content = rows(40)
        content[0]["text"] = "None"
        task = TableTask(change(data, real_file=write("real.csv", content)))
        assert task.corpus(seed=0)["prompt"][0] == "None occupation:"

    def test_names_of_classes(self, data):
        content = Dataset.from_list(rows(40)).class_encode_column("label")
        content.to_parquet("encoded.parquet")
        assert set(TableTask(change(data, real_file="encoded.parquet")).corpus(seed=0)["label"]) == {"nurse", "pilot"}

    def test_opinions(self, opinions):
        task = TableTask(opinions)
        assert task.corpus(seed=0)["completion"] == [" A", " A", " B"] * 2
        assert task.test(seed=0)["candidates"][0] == [" A", " B"]
        scores = task.score(task.test(seed=0), [np.array([0.0, 1.0]), np.array([0.5, 0.5])])
        assert scores == pytest.approx({"bias": 0.5, "utility": 0.5, "bias/Brazil": 1.0, "bias/China": 0.0})

    def test_score_of_labels(self, data):
        task = TableTask(data)
        test = task.test(seed=0)
        # Says pilot of every man, and the truth of every woman: recall of nurses 1 and 0, of pilots 1 and 1.
        says = [{"male": "pilot"}.get(row["group"], row["label"]) for row in test]
        probabilities = [np.array([0.9, 0.1]) if word == "nurse" else np.array([0.2, 0.8]) for word in says]
        assert task.score(test, probabilities) == pytest.approx({"bias": 0.5, "utility": 0.75})


class TestRefusing:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"real_file": "absent.csv"}, "`real_file`: There is no file absent.csv"),
            ({"test_file": "absent.jsonl"}, "`test_file`: There is no file absent.jsonl"),
            (
                {"label_column": "job"},
                r"`label_column`: 'job' is not a column of the real rows \(columns: text, label",
            ),
            ({"group_column": "sex"}, "`group_column`: 'sex' is not a column"),
            ({"augmented_file": None}, "`augmented_column`: 'augmented' is not a column of .*real.csv"),
            ({"stereotypes": ["nurse=female"]}, "real rows have labels outside the label set: pilot"),
            ({"stereotypes": ["nurse=woman", "pilot=male"]}, "`stereotypes`: woman is no group of the test rows"),
            ({"label_column": None}, "Name `completion_column` or `label_column`"),
            (
                {"real_file": __file__},
                r"`real_file`: .*\.py must end in one of \.csv, \.tsv, \.jsonl, \.json, \.parquet",
            ),
        ],
    )
    def test_fields(self, data, fields, message):
        with pytest.raises(ConfigError, match=message):
            TableTask(change(data, **fields))

    def test_augmented_rows_among_the_real_ones(self, data):
        mixed = write("mixed.csv", [{**row, "augmented": n == 0} for n, row in enumerate(rows(40))])
        with pytest.raises(ConfigError, match=r"column 'augmented' of mixed.csv marks augmented rows, which must not"):
            TableTask(change(data, real_file=mixed))

    @pytest.mark.parametrize(
        ("field_name", "flag", "message"),
        [
            ("real_file", "yes", "'augmented' must hold true and false, got 'yes'"),
            ("augmented_file", False, r"column 'augmented' of flagged\.csv marks real rows, which must not"),
        ],
    )
    def test_flags_beside_two_files_are_read_too(self, data, field_name, flag, message):
        file = write("flagged.csv", [{**row, "augmented": flag} for row in rows(80)])
        with pytest.raises(ConfigError, match=message):
            TableTask(change(data, **{field_name: file}))

    @pytest.mark.parametrize("field_name", ["real_file", "augmented_file"])
    @pytest.mark.parametrize(("column", "value"), [("group", "Female"), ("label", "Nurse")])
    def test_a_class_in_two_spellings(self, data, field_name, column, value):
        content = [row | {column: value} if n == 0 else row for n, row in enumerate(rows(80))]
        with pytest.raises(ConfigError, match=f"'{value}'.*, which differ in case alone"):
            TableTask(change(data, **{field_name: write("spelt.csv", content)}))

    def test_a_third_group_would_be_the_other_one(self, data):
        content = [*rows(80), {"text": "x", "label": "nurse", "group": "unknown"}]
        with pytest.raises(ConfigError, match="augmented rows have groups that no test row has: unknown"):
            TableTask(change(data, augmented_file=write("third.csv", content)))

    @pytest.mark.parametrize("text", [["a"], [{"role": "user", "content": "a"}], {"a": "b"}])
    def test_what_is_no_text(self, data, text):
        file = write("nested.jsonl", [{"text": text, "label": "nurse", "group": "female"}] * 40)
        with pytest.raises(ConfigError, match=r"`text_column`: 'text' must hold texts, got .* in real row 1"):
            TableTask(change(data, real_file=file))

    @pytest.mark.parametrize(("flag", "kind"), [(True, "augmented"), (False, "real")])
    def test_all_rows_of_one_kind(self, data, flag, kind):
        file = write("mixed.csv", [{**row, "augmented": flag} for row in rows(4)])
        with pytest.raises(ConfigError, match=f"all 4 rows of mixed.csv are {kind}"):
            TableTask(change(data, real_file=file, augmented_file=None))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (rows(8)[:3], "No test row has label 'pilot' and group 'male'"),
            ([row for row in rows(16) if row["label"] == "nurse"], "No test row has label 'pilot' and group 'female'"),
            (rows(8, group="female"), "the test rows have 1: female"),
            ([*rows(8), {"text": "", "label": "nurse", "group": "male"}], "'text' is empty in test row 9"),
            ([*rows(8), {"text": "x", "label": "cook", "group": "male"}], "test rows have labels outside .*: cook"),
        ],
    )
    def test_test_rows(self, data, content, message):
        with pytest.raises(ConfigError, match=message):
            TableTask(change(data, test_file=write("other.csv", content)))

    def test_empty_and_broken_files(self, data):
        Path("empty.csv").write_text("text,label,group\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="`real_file`"):
            TableTask(change(data, real_file="empty.csv"))
        Path("broken.jsonl").write_text("{not json\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"`real_file`: broken.jsonl has no valid JSON in line 1"):
            TableTask(change(data, real_file="broken.jsonl"))

    @pytest.mark.parametrize(
        ("name", "fields", "message"),
        [
            ("t.csv", {}, "must hold lists"),
            ("t.jsonl", {"options": ["A"]}, "equally many, and at least two, got 1 and 2"),
            ("t.jsonl", {"distribution": [0.0, 0.0]}, "not all of them 0"),
            ("t.jsonl", {"distribution": [1.5, -0.5]}, "at least 0"),
        ],
    )
    def test_opinions(self, opinions, name, fields, message):
        row = {"prompt": "x", "country": "Brazil", "options": ["A", "B"], "distribution": [0.5, 0.5], **fields}
        with pytest.raises(ConfigError, match=message):
            TableTask(change(opinions, test_file=write(name, [row])))


class TestDrawing:
    @pytest.mark.parametrize(("dose", "own"), [(0.0, 5), (0.6, 8), (1.0, 10)])
    def test_dose_is_exact_and_labels_balanced(self, data, dose, own):
        drawn = TableTask(data).augmented(20, dose=dose, seed=3)
        assert Counter(drawn["label"]) == {"nurse": 10, "pilot": 10}
        pairs = Counter(zip(drawn["label"], drawn["group"], strict=True))
        assert pairs["nurse", "female"] == pairs["pilot", "male"] == own
        assert len(set(drawn["prompt"])) == 20

    def test_odd_counts_are_met(self, data):
        assert len(TableTask(data).augmented(7, dose=0.5, seed=0)) == 7

    @pytest.mark.parametrize("kind", ["real", "augmented"])
    def test_fewer_rows_are_among_more(self, data, kind):
        task = TableTask(data)
        draw = task.real if kind == "real" else lambda count, seed: task.augmented(count, dose=1.0, seed=seed)
        few, many = set(draw(10, seed=0)["prompt"]), set(draw(20, seed=0)["prompt"])
        assert few < many
        assert set(draw(10, seed=1)["prompt"]) != few

    def test_too_few_rows(self, data):
        task = TableTask(data)
        with pytest.raises(ConfigError, match="41 real rows are needed and 40 are there: lower `training_rows`"):
            task.real(41, seed=0)
        assert len(task.augmented(40, dose=1.0, seed=0)) == 40
        with pytest.raises(ConfigError, match=r"needs 21 rows of label 'nurse' and the stereotyped group, and .* 20"):
            task.augmented(42, dose=1.0, seed=0)

    def test_too_few_opinions(self, opinions):
        with pytest.raises(ConfigError, match=r"7 augmented rows are needed and 6 are there: .* bias ratio"):
            TableTask(opinions).augmented(7, dose=1.0, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["causal", "classification"])
def test_sweep_on_a_table(data, architecture, capsys):
    config = {
        **dataclasses.asdict(data),
        **{"task": "table", "bias_ratios": [0, 0.5], "doses": [1], "seeds": [0], "mitigations": ["none", "mask"]},
        **{"training_rows": 20, "epochs": 1, "batch_size": 10, "base_epochs": 1, "hidden_size": 16, "layers": 1},
        **{"output_dir": "out", "workers": 1, "report_to": "none", "architecture": architecture},
    }
    given = {name: value for name, value in config.items() if value is not None}
    Path("config.yaml").write_text(json.dumps(given), encoding="utf-8")  # JSON is YAML
    assert sweep.main(["--config", "config.yaml"]) == 0
    records = [json.loads(path.read_text(encoding="utf-8")) for path in Path("out/cells").glob("*.json")]
    assert {record["status"] for record in records} == {"done"}
    assert [record["rows"] for record in records if record["cell"]["bias_ratio"]] == [
        {"real": 10, "augmented": 10}
    ] * 2
    assert all(0 <= record["metrics"]["utility"] <= 1 for record in records)
    assert Path("out/report.html").is_file()
