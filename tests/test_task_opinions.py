import json
import math

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from mitigate.tasks import Source, load_task
from mitigate.tasks.opinions import GLOBAL_OPINIONS, NO_OPINION

SHARES = st.lists(st.floats(0.01, 1), min_size=3, max_size=3)


def rows(*distributions, options=("yes", "no", "both")):
    return Dataset.from_list(
        [
            {"question": f"Q{i}?", "group": group, "options": list(options), "distribution": list(shares)}
            for i, (group, shares) in enumerate(distributions)
        ]
    )


def shown(task, items, shares):
    """Answer each prompt with the same shares of the options, whatever their order."""
    prompts = task.prompts(items)
    return prompts, [np.array([shares[place] for place in prompt.item["order"]]) for prompt in prompts]


class TestOrders:
    def test_every_option_stands_behind_every_letter_once(self):
        prompts = load_task("opinions").prompts(rows(("Peru", [0.2, 0.3, 0.5])))
        lines = [prompt.text.splitlines()[2:5] for prompt in prompts]
        assert sorted(line for own in lines for line in own) == sorted(
            f"{letter}: {option}" for letter in "ABC" for option in ("yes", "no", "both")
        )

    def test_a_model_that_always_says_a_has_no_opinion(self):
        task = load_task("opinions")
        items = rows(("Peru", [1 / 3] * 3))
        scores = task.score(task.prompts(items), ["A"] * 3)
        assert scores.bias == pytest.approx(0, abs=1e-7)
        assert scores.details["position_bias"] == pytest.approx(2 / 3)

    def test_without_persona_no_country_is_named(self):
        items = rows(("Peru", [1, 0, 0]))
        assert "Peru" in load_task("opinions").prompts(items)[0].text
        assert "Peru" not in load_task("opinions", persona=False).prompts(items)[0].text


class TestParse:
    prompt = load_task("opinions").prompts(
        rows(("Peru", [0.5, 0.3, 0.2]), options=("A great deal", "B minor", "None"))
    )[1]  # order 1, 2, 0

    @pytest.mark.parametrize(
        ("answer", "option"),
        [
            ("A", 1),
            ("A.", 1),
            ("(C)", 0),
            ("B: None", 2),
            ("A great deal", 0),
            ("b minor", 1),
            ("A lot of people", None),
            ("D", None),
            ("", None),
            ("c", None),
            ("**B**", 2),
            ("Answer: A", 1),
            ("A, B", None),
            ("B and C", None),
        ],
    )
    def test_letters_and_options(self, answer, option):
        shares = load_task("opinions").parse(self.prompt, answer)
        assert (None if shares is None else int(shares.argmax())) == option


@pytest.mark.parametrize(
    ("option", "opinion"),
    [
        ("Don't know", False),
        ("DK/Refused", False),
        ("DK / No answer", False),
        ("Missing; Unknown", False),
        ("Not asked", False),
        ("(Don\u2019t know)", False),
        ("I don't know anyone who is gay", True),
        ("People have refused work", True),
        ("Total control", True),
        ("Not sure it is right", True),
    ],
)
def test_options_that_are_no_opinion(option, opinion):
    assert (NO_OPINION.search(option) is None) == opinion


class TestScore:
    @settings(max_examples=20, deadline=None)
    @given(SHARES, SHARES)
    def test_against_scipy(self, model, people):
        task = load_task("opinions", ordered=True)
        model, people = (np.array(each) / sum(each) for each in (model, people))
        scores = task.score(*shown(task, rows(("Peru", people)), model))
        # Of nearly equal shares scipy gives the root of a number below 0.
        expected = 1 - np.nan_to_num(jensenshannon(model, people, base=2))
        assert scores.groups["Peru"].value == pytest.approx(expected, abs=1e-6)
        distance = wasserstein_distance(range(3), range(3), model, people)
        assert scores.details["ordered_similarity/Peru"] == pytest.approx(1 - distance / 2)
        assert scores.details["position_bias"] == pytest.approx(0, abs=1e-9)

    def test_ends_of_the_scale(self):
        task = load_task("opinions", ordered=True)
        items = rows(("Peru", [1, 0, 0]), ("Chad", [0, 0, 1]))
        scores = task.score(*shown(task, items, [1.0, 0.0, 0.0]))
        assert scores.groups["Peru"].value == 1
        assert scores.groups["Chad"].value == 0
        assert scores.bias == 0.5  # of countries, not of questions
        assert scores.details["ordered_similarity"] == 0.5

    def test_countries_weigh_the_same(self):
        task = load_task("opinions")
        items = rows(("Peru", [1, 0, 0]), ("Peru", [1, 0, 0]), ("Peru", [1, 0, 0]), ("Chad", [0, 0, 1]))
        assert task.score(*shown(task, items, [1.0, 0.0, 0.0])).bias == 0.5

    def test_missing_answers(self):
        task = load_task("opinions")
        items = rows(("Peru", [1, 0, 0]), ("Peru", [1, 0, 0]))
        prompts = task.prompts(items)
        scores = task.score(prompts, ["yes", "?", "?", "I'm sorry, I can't.", "?", "?"])
        assert scores.groups["Peru"].value == 1
        # At worst the five others are votes for what nobody in Peru said, at best for what all did.
        worst = (jensenshannon([1, 2, 0], [1, 0, 0], base=2) + 1) / 2
        assert scores.groups["Peru"].bounds == pytest.approx((1 - worst, 1))
        assert scores.groups["Peru"].n == 6
        assert scores.groups["Peru"].unparsed == pytest.approx(5 / 6)
        assert scores.groups["Peru"].refused == pytest.approx(1 / 6)
        assert scores.bias_bounds == pytest.approx((0, worst))


class TestLoad:
    def test_hub_columns(self, tmp_path):
        path = tmp_path / "opinions.csv"
        selections = "defaultdict(<class 'list'>, {'Peru': [0.4, 0.4, 0.2], 'Chad': [0.0, 0.0, 1.0]})"
        path.write_text(
            f'question,selections,options,source\nWhy?,"{selections}","[\'yes\', \'no\', ""Don\'t know""]",GAS\n',
            encoding="utf-8",
        )
        items = load_task("opinions").load(Source(str(path), columns=GLOBAL_OPINIONS.columns))
        # In Chad nobody had an opinion.
        assert items.to_dict() == {
            "question": ["Why?"],
            "group": ["Peru"],
            "options": [["yes", "no"]],
            "distribution": [[0.5, 0.5]],
        }

    def test_what_is_no_literal_is_refused(self, tmp_path):
        path = tmp_path / "opinions.csv"
        path.write_text("question,selections,options\nWhy?,{open('x')},[1]\n", encoding="utf-8")
        with pytest.raises(ValueError, match="'selections' must hold a dict, unlike row 1"):
            load_task("opinions").load(Source(str(path), columns=GLOBAL_OPINIONS.columns))

    @pytest.mark.parametrize("shares", [[None, 0.5], ["a", "b"], "half", "[0.5, 'b']"])
    def test_what_are_no_shares(self, tmp_path, shares):
        path = tmp_path / "opinions.jsonl"
        path.write_text(
            json.dumps({"question": "Q?", "group": "P", "options": ["a", "b"], "distribution": shares}),
            encoding="utf-8",
        )
        with pytest.raises(ValueError, match=r"'distribution' must hold .*, unlike row 1 of .*opinions\.jsonl"):
            load_task("opinions").load(Source(str(path)))

    def test_shares_of_a_country_that_are_no_list(self, tmp_path):
        path = tmp_path / "opinions.csv"
        path.write_text("question,selections,options\nWhy?,{'X': 0.5},\"['a', 'b']\"\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"'selections' must hold the share of each option .* row 1 of .*: '0.5'"):
            load_task("opinions").load(Source(str(path), columns=GLOBAL_OPINIONS.columns))

    def test_lists_as_text(self, tmp_path):
        path = tmp_path / "opinions.csv"
        row = {"question": "Q?", "group": "P", "options": ["a", "b"], "distribution": [0.75, 0.25]}
        Dataset.from_list([{name: str(cell) for name, cell in row.items()}]).to_csv(str(path))
        assert load_task("opinions").load(Source(str(path))).to_list() == [row]

    def test_a_local_file_by_country(self, tmp_path):
        path = tmp_path / "opinions.jsonl"
        Dataset.from_list(
            [
                {"question": "Q?", "country": "Peru", "options": ["a", "b"], "distribution": [3.0, 1.0]},
                {"question": "Q?", "country": "Chad", "options": ["a", "b"], "distribution": [1.0]},
            ]
        ).to_json(str(path))
        items = load_task("opinions").load(Source(str(path), columns={"group": "country"}))
        assert list(items["group"]) == ["Peru"]
        assert math.isclose(items[0]["distribution"][0], 0.75)

    def test_options_of_one_question_are_numbers(self, tmp_path):
        path = tmp_path / "opinions.jsonl"
        row = {"question": "Q?", "group": "P", "distribution": [1, 1]}
        lines = [json.dumps(row | {"options": options}) for options in (["a", "b"], [1, 2])]
        path.write_text("\n".join(lines), encoding="utf-8")
        assert list(load_task("opinions").load(Source(str(path)))["options"]) == [["a", "b"], ["1", "2"]]

    def test_nothing_usable(self, tmp_path):
        path = tmp_path / "opinions.jsonl"
        Dataset.from_list([{"question": "Q?", "group": "P", "options": ["a"], "distribution": [1.0]}]).to_json(
            str(path)
        )
        with pytest.raises(ValueError, match="no row of"):
            load_task("opinions").load(Source(str(path)))
