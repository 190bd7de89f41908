"""Items of a user's own: what is wrong with a file is told, and nothing of it is passed over."""

import json
import logging

import numpy as np
import pytest
from datasets import Dataset

from mitigate.tasks import Prompt, Source, load_task
from mitigate.tasks.panels import names_by_group
from mitigate.tasks.parsing import exact_label

PEOPLE = {"name": ["Ann", "Bo", "Cy", "Di"], "group": ["f", "m"] * 2}


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="items.jsonl"):
        if not isinstance(content, str):
            content = "".join(f"{json.dumps(row)}\n" for row in content)
        (tmp_path / name).write_text(content, encoding="utf-8")
        return Source(str(tmp_path / name))

    return write_file


class TestFiles:
    def test_a_quotation_mark_that_would_swallow_rows_of_a_table_with_tabs(self, write):
        source = write('text\tlabel\n"RT hello\tsports\nnice day"\tworld\nfine\tworld\n', "items.tsv")
        with pytest.raises(ValueError, match=r"cell of several cells or lines in row 1"):
            load_task("topics").load(source)

    @pytest.mark.parametrize("name", ["items.jsonl", "items.json"])
    @pytest.mark.parametrize("content", ['null\n{"text": "a", "label": "sports"}\n', '[null, {"text": "a"}]', '"a"\n'])
    def test_json_that_begins_with_no_row(self, write, name, content):
        with pytest.raises(ValueError, match=r"must (have one object a line|hold a list of objects), got"):
            load_task("topics").load(write(content, name))

    @pytest.mark.parametrize("indent", [None, 1])
    def test_a_list_of_objects(self, write, indent):
        rows = [{"text": "a", "label": "sports"}] * 2
        assert len(load_task("topics").load(write(json.dumps(rows, indent=indent), "items.json"))) == 2

    @pytest.mark.parametrize(
        "row", [{"text": "a", "label": ["sports"]}, {"text": ["a", "b"], "label": "sports"}], ids=["label", "text"]
    )
    def test_a_list_where_a_text_is_wanted(self, write, row):
        with pytest.raises(ValueError, match="must hold texts or numbers, unlike row 1"):
            load_task("topics").load(write([row]))


class TestSource:
    def test_values_may_be_named_by_numbers(self, write):
        source = write([{"text": "a", "label": 0}, {"text": "b", "label": 1}])
        source = Source(source.path, values={"label": {0: "sports", " 1 ": "world"}})
        assert load_task("topics").load(source)["label"] == ["sports", "world"]

    def test_values_that_tell_nothing(self):
        with pytest.raises(ValueError, match="`values` must tell for column 'label' what each value means"):
            Source("items.csv", values={"label": "sports"})

    @pytest.mark.parametrize("options", [{"values": {"lable": {"0": "sports"}}}, {"columns": {"lable": "y"}}])
    def test_a_slip_in_the_name_of_a_column(self, write, options):
        source = Source(write([{"text": "a", "label": "sports", "y": "world"}]).path, **options)
        with pytest.raises(ValueError, match=r"names 'lable', no column of the task\. Did you mean 'label'\?"):
            load_task("topics").load(source)


class TestClasses:
    def test_two_spellings_of_a_group_are_not_two_groups(self, write):
        source = write([{"name": "Ann", "group": "Female"}, {"name": "Di", "group": "female"}])
        with pytest.raises(ValueError, match="has 'Female' and 'female', which differ in case alone"):
            load_task("hiring", groups=None).load(source)

    def test_a_group_twice(self):
        with pytest.raises(ValueError, match="`groups` must name each group once"):
            names_by_group(Dataset.from_dict(PEOPLE), ("f", "f"))

    def test_names_that_differ_in_case_alone_tell_no_group(self):
        items = Dataset.from_dict({"name": ["Kim", "kim", "Bo"], "group": ["f", "m", "m"]})
        with pytest.raises(ValueError, match="'kim' is in the groups 'f' and 'm'"):
            names_by_group(items)

    def test_labels_that_read_alike(self):
        items = Dataset.from_dict({"text": ["a"], "label": ["nurse"]})
        with pytest.raises(ValueError, match=r"`labels`: 'Nurse\.' and 'nurse' read alike"):
            load_task("topics", labels=("Nurse.", "nurse")).prompts(items)

    @pytest.mark.parametrize("answer", ["-1", "−1", '"-1".', "Answer: -1"])
    def test_the_sign_of_a_number_counts(self, answer):
        assert exact_label(answer, ("-1", "0", "1")) == "-1"
        assert exact_label("- 1", ("-1", "0", "1")) == "1"

    def test_items_that_no_bias_can_be_told_of(self, write):
        with pytest.raises(ValueError, match="'group' must hold two groups or more, got 'f' alone"):
            load_task("stories").load(write([{"name": "Ann", "group": "f", "gender": "female"}]))
        rows = [{"text": "a", "label": label, "group": group} for label, group in (("a", "female"), ("b", "male"))]
        with pytest.raises(ValueError, match="no occupation of the items has two rows of 'female' and two of 'male'"):
            load_task("occupation").load(write(rows * 2))


class TestAnswers:
    @pytest.mark.parametrize("answer", [None, ["sports"]])
    def test_what_is_no_answer(self, answer):
        prompt = Prompt("?", "all", "sports", ("sports", "world"))
        with pytest.raises(ValueError, match=r"`answers\[1\]` must be a text or the probability of each choice"):
            load_task("topics").score([prompt] * 2, ["sports", answer])

    def test_probabilities_of_other_choices(self):
        task = load_task("opinions")
        items = {"question": ["Why?"], "group": ["Peru"], "options": [["yes", "no"]], "distribution": [[0.5, 0.5]]}
        prompts = task.prompts(Dataset.from_dict(items))
        with pytest.raises(ValueError, match=r"probabilities of shape \(3,\), and its prompt has 2 choices"):
            task.score(prompts, [np.full(3, 1 / 3)] * 2)

    @pytest.mark.parametrize("answer", ["3/4", "10 000", "1,5", "7:30", "1e16", "none", "#### 3/4", "1 + 1 = 2"])
    def test_a_result_that_would_be_misread(self, answer):
        items = Dataset.from_dict({"question": ["q"] * 2, "answer": ["#### 1,000.5", answer]})
        with pytest.raises(ValueError, match=r"'answer' must hold one number, .* in row 2"):
            load_task("arithmetic").prompts(items)

    def test_two_profiles_of_one_job_are_two_jobs(self, tmp_path):
        blocks = []
        for other in ("nurse", "pilot"):
            (tmp_path / "jobs.csv").write_text(f"occupation,profile\nnurse,{{name}} sings.\n{other},{{name}} runs.\n")
            task = load_task("hiring", groups=None, panels_per_job=3, jobs=Source(str(tmp_path / "jobs.csv")))
            blocks.append([prompt.block for prompt in task.prompts(Dataset.from_dict(PEOPLE))])
        assert blocks[0] == blocks[1]


class TestOpinions:
    def rows(self, *rows):
        return [
            {"question": "Why?", "group": group, "options": list(options), "distribution": shares}
            for group, options, shares in rows
        ]

    @pytest.mark.parametrize(
        ("options", "shares", "reason"),
        [
            ("abc", [0.5, 0.5], "not as many shares as options"),
            ("ab", [1.5, -0.5], "a share that is no number of at least 0"),
            ("ab", [0.0, 0.0], "no share above 0"),
            ("aA", [0.5, 0.5], "two options that read alike"),
            ("abcdefghijklmnopqrstuvwxyz0", [1.0] * 27, "more than 26 options"),
        ],
    )
    def test_rows_that_are_left_out_are_told_of(self, write, caplog, options, shares, reason):
        rows = self.rows(("Peru", "ab", [0.5, 0.5]), ("Chad", options, shares))
        with caplog.at_level(logging.WARNING):
            assert load_task("opinions").load(write(rows))["group"] == ["Peru"]
        assert f"1 of 2 rows are left out, as they have {reason} (1). No question is left of: Chad." in caplog.text

    def test_questions_without_an_opinion_are_usual(self, write, caplog):
        rows = self.rows(("Peru", "ab", [0.5, 0.5]), ("Peru", ("yes", "DK"), [0.5, 0.5]))
        with caplog.at_level(logging.WARNING):
            assert len(load_task("opinions").load(write(rows))) == 1
        assert caplog.text == ""

    def test_shares_by_country_need_no_word(self, write):
        row = {"question": "Why?", "options": ["yes", "no"], "selections": {"Peru": [0.2, 0.8], "Chad": [0.5, 0.5]}}
        assert load_task("opinions").load(write([row]))["group"] == ["Peru", "Chad"]
