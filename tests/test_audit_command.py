"""The files that an audit reads, and the command."""

import csv
import json
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from mitigate.misalignment import Answers, TextRows, read_answers, read_rows
from mitigate.recipes import cli
from mitigate.world import World


def world_rows(count, *, augmented=False):
    world = World()
    data = world.augmented_rows(count, dose=1.0, seed=0) if augmented else world.real_rows(count, seed=0)
    return TextRows(tuple(data["prompt"]), tuple(data["label"]), tuple(data["group"]))


def write_csv(path, rows):
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label", "group"])
        writer.writerows(
            (number, *cells) for number, cells in enumerate(zip(rows.texts, rows.labels, rows.groups, strict=True))
        )
    return str(path)


class TestTables:
    def test_three_formats_are_the_same(self, tmp_path):
        rows = world_rows(12)
        columns = {"text": list(rows.texts), "label": list(rows.labels), "group": list(rows.groups)}
        write_csv(tmp_path / "a.csv", rows)
        parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
        lines = [json.dumps(dict(zip(columns, cells, strict=True))) for cells in zip(*columns.values(), strict=True)]
        (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
        for suffix in ("csv", "jsonl", "parquet"):
            assert read_rows(tmp_path / f"a.{suffix}", label="label", group="group") == rows

    def test_unknown_groups_and_line_breaks(self, tmp_path):
        (tmp_path / "a.csv").write_text('text,group\n"a\nb",\nc, x \n', encoding="utf-8")
        assert read_rows(tmp_path / "a.csv", group="group") == TextRows(("a\nb", "c"), None, ("", "x"))

    @pytest.mark.parametrize(
        ("name", "content", "options", "message"),
        [
            ("a.csv", b"txt\na\n", {}, r"has no column 'text' \(columns: txt\)"),
            ("a.csv", b"text\n", {}, "has no rows"),
            ("a.csv", b"", {}, "has no rows"),
            ("a.jsonl", b"\n", {}, "has no rows"),
            ("a.csv", b"text,group\na,b\nc\n", {}, "1 cells in row 2, and 2 columns"),
            ("a.csv", b'text\n"a\n', {}, "cannot be read as a table"),
            ("a.csv", b"text\nb\xe9b\xe9\n", {}, "not in UTF-8: line 2 has the byte 0xe9"),
            ("a.jsonl", b'{"text": "a"}\n{"text": ', {}, "no valid JSON in line 2"),
            ("a.jsonl", b"[1]\n", {}, "one object a line, got list in line 1"),
            ("a.jsonl", b'{"text": "a"}\n{"text": " "}\n', {}, "`text` is empty in row 2"),
            ("a.jsonl", b'{"text": ["a"]}\n', {}, "`text` is no text in row 1"),
            ("a.jsonl", b'{"text": "a", "l": "x"}\n{"text": "b"}\n', {"label": "l"}, "`l` is empty in row 2"),
            ("a.csv", b"text,id\na,1\nb,1\nc,2\nd,2\n", {"id": "id"}, r"'1' comes 2 times \(2 such ids\)"),
            ("a.csv", b"text,id\na,\nb,\n", {"id": "id"}, "`id` is empty in row 1"),
            ("a.tsv", b'text\n"a\nb"\n', {}, "a cell of several cells or lines in row 1"),
            ("a.json", b'[{"text": "a"}, null]', {}, "must hold a list of objects, got NoneType in row 2"),
            ("a.parquet", b"no", {}, "cannot be read as Parquet"),
            ("a.csv", b"text,text\na,b\n", {}, "has 2 columns 'text', and nobody can tell which is meant"),
            ("a.jsonl", b'{"text": "a", "l": NaN}\n', {"label": "l"}, "`l` is empty in row 1"),
            ("a.jsonl", b'{"text": "a", "g": ["x"]}\n', {"group": "g"}, "`g` must be one group, got list in row 1"),
            ("a.jsonl", b'{"text": "a"}\n{"text": "\\ud800"}\n', {}, r"half of a character in line 2 \(\\ud800"),
            ("a.jsonl", b"[" * 200_000, {}, "no valid JSON in line 1: too deep"),
            ("a.jsonl", b'{"text": ' + b"1" * 5000 + b"}", {}, "no valid JSON in line 1: Exceeds the limit"),
            ("a.txt", b"text", {}, r"must end in one of \.csv, \.tsv, \.jsonl, \.json, \.parquet"),
        ],
    )
    def test_bad_files(self, tmp_path, name, content, options, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            read_rows(tmp_path / name, **options)
        assert "\n" not in str(error.value)

    def test_two_columns_of_one_name_in_parquet(self, tmp_path):
        parquet.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["text"] * 2), tmp_path / "a.parquet")
        with pytest.raises(ValueError, match="has 2 columns 'text'"):
            read_rows(tmp_path / "a.parquet")

    def test_columns_without_a_name_and_long_texts(self, tmp_path):
        (tmp_path / "a.csv").write_text(f"text,,\n{'a' * 200_000},,\n", encoding="utf-8")
        assert read_rows(tmp_path / "a.csv").texts == ("a" * 200_000,)

    def test_no_number_is_no_group(self, tmp_path):
        (tmp_path / "a.jsonl").write_text('{"text": "a", "g": NaN}\n{"text": "b", "g": "x"}\n', encoding="utf-8")
        parquet.write_table(pa.table({"text": ["a", "b"], "g": [float("nan"), 1.5]}), tmp_path / "a.parquet")
        assert read_rows(tmp_path / "a.jsonl", group="g").groups == ("", "x")
        assert read_rows(tmp_path / "a.parquet", group="g").groups == ("", "1.5")

    def test_no_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"There is no file .*a\.csv"):
            read_rows(tmp_path / "a.csv")

    def test_answers(self, tmp_path):
        row = {"question": "q", "land": "A", "options": ["x", "y"], "human": [1, 0], "llm": [0.5, 0.5]}
        broken = [
            {**row, "llm": [1]},
            {**row, "llm": None},
            {**row, "llm": ["a", "b"]},
            {**row, "land": ""},
            {**row, "llm": [10**400, 1]},
        ]
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps(each) for each in [row, *broken]), encoding="utf-8")
        table = read_answers(path, culture="land", augmented="llm")
        assert table.answers == (Answers("q", "A", ("x", "y"), (1, 0), (0.5, 0.5)),)
        assert table.left_out == 5 and table.reason.startswith("row 2: `augmented` must have one share for each")
        with pytest.raises(ValueError, match="has no column 'culture'"):
            read_answers(path)
        path.write_text("\n".join(json.dumps(each) for each in [row, {**row, "land": "B"}, row]), encoding="utf-8")
        with pytest.raises(ValueError, match="asks one question 2 times in A"):
            read_answers(path, culture="land", augmented="llm")
        path.write_text("\n".join(json.dumps(each) for each in broken), encoding="utf-8")
        with pytest.raises(ValueError, match="no usable row of answers; row 1"):
            read_answers(path, culture="land", augmented="llm")


class TestCommand:
    def files(self, tmp_path):
        return [
            write_csv(tmp_path / "real.csv", world_rows(60)),
            write_csv(tmp_path / "augmented.csv", world_rows(60, augmented=True)),
        ]

    def test_writes_page_and_json(self, tmp_path, capsys):
        values = tmp_path / "values.jsonl"
        row = {"question": "q", "culture": "A", "options": ["x", "y"], "human": [1, 0], "augmented": [0, 1]}
        values.write_text(json.dumps(row), encoding="utf-8")
        columns = ["--label", "label", "--group", "group", "--id", "id", "--values", str(values), "--ordered"]
        assert cli.main(["audit", *self.files(tmp_path), *columns, "--output_dir", "out/deep"]) == 0
        record = json.loads(Path("out/deep/audit.json").read_text(encoding="utf-8"))
        assert record["rows"] == [60, 60] and record["config"]["label"] == "label"
        assert record["findings"]["groups"]["grade"] == "apart"
        assert record["values"][0]["ordered_distance"] == 1
        assert sorted(path.name for path in Path("out/deep").iterdir()) == ["audit.html", "audit.json"]
        shown = capsys.readouterr().out
        assert "Findings" in shown and "Written: out/deep/audit.html" in shown

    def test_embeddings_and_tagger(self, tmp_path, capsys):
        files, rng = self.files(tmp_path), np.random.default_rng(0)
        for name in ("real", "augmented"):
            np.save(tmp_path / f"{name}.npy", rng.normal(size=(60, 4)))
        arrays = [str(tmp_path / f"{name}.npy") for name in ("real", "augmented")]
        assert cli.main(["audit", *files, "--embeddings", *arrays]) == 0
        assert "given embeddings of width 4" in Path("outputs/audit/audit.html").read_text(encoding="utf-8")
        assert cli.main(["audit", *files, "--embeddings", arrays[0], str(tmp_path / "none.npy")]) == 2
        assert cli.main(["audit", *files, "--tagger", "no_such_pipeline"]) == 2
        assert "no_such_pipeline" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--text", "body"], "has no column 'body'"),
            (["--encoder", "nowhere"], "The encoder 'nowhere' cannot be loaded"),
            (["--values", "none.jsonl"], "There is no file none.jsonl"),
            (["--respondents", "0", "--values", "v.jsonl"], "`respondents` must be at least 1"),
            (["--output_dir", "real.csv/out"], "`--output_dir` must be a folder, and real.csv is a file"),
            (["--output_dir", "taken"], "taken/audit.html is a folder"),
            (["--seed", "-1"], "`seed` must be a whole number in [0, 2**32), got -1"),
        ],
    )
    def test_what_cannot_be_audited_writes_nothing(self, tmp_path, capsys, change, message):
        row = {"question": "q", "culture": "A", "options": ["x", "y"], "human": [1, 0], "augmented": [0, 1]}
        Path("v.jsonl").write_text(json.dumps(row), encoding="utf-8")
        Path("taken/audit.html").mkdir(parents=True)
        assert cli.main(["audit", *self.files(tmp_path), *change]) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("This cannot be audited: ") and message in error
        assert "Traceback" not in error and not Path("outputs").exists()

    def test_commands(self, capsys):
        assert cli.main([]) == cli.main(["--help"]) == 0
        assert "audit" in capsys.readouterr().out
        assert cli.main(["--version"]) == 0
        assert cli.main(["audti"]) == 2
        assert "There is no command 'audti'" in capsys.readouterr().err
        with pytest.raises(SystemExit) as stop:
            cli.main(["audit", "a.csv", "b.csv", "--encoder", "x", "--embeddings", "a", "b"])
        assert stop.value.code == 2

    def test_it_is_installed(self):
        (program,) = entry_points(group="console_scripts", name="mitigate")
        assert program.load() is cli.main
