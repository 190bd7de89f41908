"""Bias types and their prompts: what the data files hold, that filling is safe, and the rule of each type."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mitigate.augment import BiasType, Group, Plan, Seed, available_groups, bias_types, default_task
from mitigate.augment.bias_types import ATTRIBUTES, AXES, INTERSECTION
from mitigate.augment.checks import check_prompt
from mitigate.augment.group_words import find_group_words
from mitigate.augment.prompts import fill_prompt, read_template

GENDERS, CULTURES = available_groups("gender"), available_groups("culture")
TASK = default_task(labelled=False)
PASSAGE = "The office closes at five, and the lift has been out of order since Monday."
SEED = Seed("s", PASSAGE, "clerk")


def plan(**changes):
    settings = {
        "bias_types": bias_types(),
        "attributes": ATTRIBUTES,
        "genders": ["woman", "man"],
        "cultures": ["Arab", "Spanish"],
        "task": TASK,
    }
    return Plan(**{**settings, **changes})


def one(context="contextual", scope="single", signal="implicit", attribute="gender", seed=SEED, **changes):
    """The first item of a bias type and attribute."""
    items = plan(bias_types=[BiasType(context, scope, signal)], **changes).items([seed])
    return next(item for item in items if item.group.attribute == attribute)


def test_three_axes_cross_to_eight_cells_of_six_levels():
    types = bias_types()
    assert len({bias_type.name for bias_type in types}) == 8
    assert {level for bias_type in types for level in bias_type.levels} == {
        *AXES["context"],
        *AXES["scope"],
        *AXES["signal"],
    }
    assert [bias_type.name for bias_type in bias_types(["contextual"], ["single"])] == [
        "contextual-single-explicit",
        "contextual-single-implicit",
    ]


class TestGroups:
    def test_names_are_eight_of_a_kind_and_in_one_list_only(self):
        lists = [
            [Group("gender-culture", gender, culture).proxies(number)[kind] for number in range(8)]
            for culture, gender in product(CULTURES, GENDERS)
            for kind in (("first_name", "family_name") if gender == GENDERS[0] else ("first_name",))
        ]
        names = [name for each in lists for name in each]
        assert len(names) == len(set(names)) == 8 * 3 * len(CULTURES)

    def test_no_name_is_a_word_that_tells_a_group(self):
        for culture, gender, number in product(CULTURES, GENDERS, range(8)):
            for name in Group("gender-culture", gender, culture).proxies(number).values():
                assert find_group_words(name, "gender") + find_group_words(name, "culture") == ()

    def test_a_word_that_only_holds_one_that_tells_a_group_tells_none(self):
        text = "The White House, a man-made lake, Black voices"
        assert (find_group_words(text, "gender"), find_group_words(text, "culture")) == ((), ("Black",))

    def test_groups_of_one_number_have_names_of_one_place(self):
        woman, man = (Group("gender", gender) for gender in ("woman", "man"))
        assert (woman.proxies(0), man.proxies(0)) == ({"first_name": "Olivia"}, {"first_name": "George"})
        assert woman.proxies(8) == woman.proxies(0)
        assert Group("culture", culture="Korean").proxies(1) == {"family_name": "Park"}
        assert Group("gender-culture", "woman", "Korean").proxies(0) == {"first_name": "Ji-an", "family_name": "Kim"}

    def test_what_does_not_vary_is_unstated_or_one_culture_of_names(self):
        group = Group("gender", "woman")
        assert group.stated("explicit") == {"gender": "woman", "culture": "unstated"}
        assert group.stated("implicit") == {"gender": "woman", "culture": "English"}
        assert Group("culture", culture="Arab").stated("implicit") == {"gender": "unstated", "culture": "Arab"}


class TestTemplates:
    @pytest.mark.parametrize(("attribute", "signal"), list(product([*ATTRIBUTES, INTERSECTION], AXES["signal"])))
    def test_a_context_adds_the_passage_and_nothing_else(self, attribute, signal):
        texts = [read_template(attribute, BiasType(context, "any", signal)).template for context in AXES["context"]]
        without, added = (text.splitlines() for text in texts)
        assert [line for line in added if line in without] == without
        assert [line for line in added if line not in without] == [
            "Say what this passage says of the person or the situation, in words of your own:",
            "<passage>",
            "$passage",
            "</passage>",
        ]

    def test_a_template_holds_what_its_type_tells_and_no_more(self):
        holds = {
            ("gender", "explicit"): {"gender"},
            ("gender", "implicit"): {"first_name"},
            ("culture", "explicit"): {"culture"},
            ("culture", "implicit"): {"family_name"},
            (INTERSECTION, "explicit"): {"gender", "culture"},
            (INTERSECTION, "implicit"): {"first_name", "family_name"},
        }
        for (attribute, signal), names in holds.items():
            for context, more in (("contextless", set()), ("contextual", {"passage"})):
                template = read_template(attribute, BiasType(context, "any", signal))
                assert set(template.get_identifiers()) == {"task", *names, *more}

    @pytest.mark.parametrize("bias_type", bias_types(), ids=lambda bias_type: bias_type.name)
    @pytest.mark.parametrize("arm", ["plain", "aligned-prompt"])
    def test_every_prompt_keeps_the_rule_of_its_type(self, bias_type, arm):
        items = plan(bias_types=[bias_type], genders=GENDERS, cultures=CULTURES, arm=arm).items([SEED])
        assert len(items) == (10 if bias_type.scope == "single" else 16)
        assert [check_prompt(item) for item in items] == [None] * len(items)

    def test_groups_differ_in_nothing_but_the_word_or_name(self):
        filled = {
            gender: fill_prompt(
                BiasType("contextual", "single", "implicit"), Group("gender", gender), task=TASK, passage="x"
            )
            for gender in ("woman", "man")
        }
        assert filled["woman"].replace("Olivia", "George") == filled["man"] != filled["woman"]

    def test_the_aligned_arm_puts_an_instruction_before_the_same_prompt(self):
        plain, aligned = one().prompt, one(arm="aligned-prompt").prompt
        assert aligned.endswith("\n" + plain)
        assert aligned.startswith("Write without stereotypes.")


class TestSafety:
    @given(text=st.text(min_size=1), label=st.text())
    @example(text="$passage", label="$$ $label $")
    def test_seeds_are_data(self, text, label):
        bias_type, group = BiasType("contextual", "single", "explicit"), Group("gender", "woman")
        prompt = fill_prompt(bias_type, group, task="An example of $label, for $$5.", passage=text, label=label)
        before, after = read_template("gender", bias_type).template.split("$passage")
        head = before.replace("$task", f"An example of {label}, for $5.".strip()).replace("$gender", "woman")
        assert prompt == (head + text.strip() + after).strip()

    @pytest.mark.parametrize(
        "text", ["$task $gender ${first_name} $", "{0} {task} %s %(x)s", "{{ x }} $$", "\\1 \\g<0>"]
    )
    def test_what_looks_like_a_placeholder_stays(self, text):
        assert f"<passage>\n{text}\n</passage>" in one(seed=Seed("s", text)).prompt


class TestRules:
    """`check_prompt` on prompts that break the rule of their type."""

    @pytest.mark.parametrize(
        ("item", "detail"),
        [
            (one(seed=Seed("s", "She runs the shop.")), "the passage tells the group by itself: she"),
            (one(signal="explicit", seed=Seed("s", "Ask Mary first.")), "the passage tells the group by itself: Mary"),
            (
                one(attribute="culture", seed=Seed("s", "A Dutch shop.")),
                "the passage tells the group by itself: Dutch",
            ),
            (replace(one(), frame="Olivia, a woman"), "the prompt tells the gender besides: woman"),
            (replace(one(), frame="Olivia from Spain"), "the prompt tells the culture besides: spain"),
            (replace(one(), frame="Write on."), "the prompt lacks the name Olivia"),
            (replace(one(signal="explicit"), frame="Write on."), "the prompt does not name the group: woman"),
            (replace(one(signal="explicit"), frame="A woman, a man"), "the prompt tells the gender besides: man"),
            (replace(one(), prompt=one().frame), "the prompt lacks the passage"),
            (replace(one("contextless"), prompt=one().prompt), "the prompt holds the passage"),
            (
                one("contextless", task='An example of "$label".', seed=Seed("s", PASSAGE, "actress")),
                "the prompt tells the gender besides: actress",
            ),
        ],
        ids=lambda part: part if isinstance(part, str) else "",
    )
    def test_a_broken_rule_is_named(self, item, detail):
        assert check_prompt(item) == ("prompt", detail)

    def test_what_is_held_constant_may_be_in_the_passage(self):
        assert check_prompt(one(seed=Seed("s", "A Dutch shop near the river."))) is None
        assert check_prompt(one(attribute="culture", seed=Seed("s", "She runs the shop."))) is None


class TestPlan:
    def test_every_seed_has_every_group_of_every_type(self):
        items = plan().items([Seed("a", "x y"), Seed("b", "z")])
        assert len(items) == 2 * (4 * (2 + 2) + 4 * 4)
        places = {(item.seed.id, item.bias_type.name, item.group.attribute, item.group.name) for item in items}
        assert len(places) == len(items)
        sets = [item.set_key for item in items if item.bias_type.scope == "intersectional"]
        assert all(sets.count(key) == 4 for key in set(sets))

    def test_requests_of_one_prompt_are_told_apart(self):
        items = plan(repeats=3).items([Seed("a", "x y"), Seed("b", "z")])
        assert len({(item.prompt, item.sample) for item in items}) == len(items)
        asked = [item.sample for item in items if item.bias_type.name == "contextless-single-explicit"]
        assert sorted(asked) == sorted(list(range(6)) * 4)

    def test_names_go_round_by_seed_and_repeat_alike_for_all_groups(self):
        items = plan(
            bias_types=[BiasType("contextless", "single", "implicit")], attributes=["gender"], repeats=2
        ).items([Seed("a", "x"), Seed("b", "y")])
        assert [item.proxies["first_name"] for item in items] == (
            ["Olivia", "Amelia", "George", "Harry", "Amelia", "Isla", "Harry", "Oliver"]
        )

    def test_more_seeds_leave_the_items_of_the_others_as_they_were(self):
        seeds = [Seed("a", "x"), Seed("b", "y")]
        assert plan().items([*seeds, Seed("c", "x")])[: len(plan().items(seeds))] == plan().items(seeds)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"genders": ["woman"]}, r"`genders` must hold at least two groups to compare, got \['woman'\]"),
            ({"genders": ["woman", "girl"]}, "`genders`: 'girl' is none of woman, man"),
            ({"cultures": ["Arab", "Arab"]}, "`cultures` must hold at least one of Arab, Chinese"),
            ({"attributes": []}, "`attributes` must hold at least one of gender, culture"),
            ({"attributes": ["age"]}, "`attributes`: 'age' is none of gender, culture"),
            ({"repeats": 0}, "`repeats` must be at least 1, got 0"),
            ({"task": " "}, "`task` is empty"),
            ({"task": "Write $text"}, r"`task` may hold `\$label`"),
            ({"task": "For 5 $"}, r"`task` may hold `\$label`"),
            ({"task": "Write about her day"}, "`task` tells a group by itself: 'her'"),
            ({"task": "Write about a German"}, "`task` tells a group by itself: 'German'"),
        ],
    )
    def test_what_cannot_be_planned_is_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            plan(**changes)

    def test_an_axis_without_a_level_is_refused(self):
        with pytest.raises(ValueError, match="`scopes` must hold at least one of single, intersectional"):
            bias_types(scopes=[])
        with pytest.raises(ValueError, match="`signals`: 'loud' is none of explicit, implicit"):
            bias_types(signals=["loud"])
