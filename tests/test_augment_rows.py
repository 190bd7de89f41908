"""Texts are checked against the rule of their type, and rows kept or set apart with the reason."""

import io
import json
from collections import Counter

import pytest
from datasets import load_dataset
from rich.console import Console

from mitigate.augment import Answer, BiasType, Decoding, Plan, Seed, TextLimits, ask, bias_types, make_rows
from mitigate.augment.checks import check_text
from mitigate.augment.summary import count_reasons, count_usage, render_summary

PASSAGE = "The office closes at five, and the lift has been out of order since Monday."
GOOD = "They paint small boats near the harbour every morning."


def items_of(seeds=None, repeats=1, **axes):
    plan = Plan(bias_types(**axes), ["gender", "culture"], ["woman", "man"], ["Arab", "Spanish"], "Write.", repeats)
    return plan.items(seeds or [Seed("s", PASSAGE, "clerk")])


def one(context, scope, signal, attribute, passage=PASSAGE):
    items = items_of([Seed("s", passage)], contexts=[context], scopes=[scope], signals=[signal])
    return next(item for item in items if item.group.attribute == attribute)


def judge(answers, **axes):
    """Rows of one seed, where `answers` gives the text of each item in turn, or `None` for no answer."""
    asked = ask(items_of(**axes), "m", Decoding())
    given = {
        request.key: Answer(text, "stop", 1, 2)
        for (_, request), text in zip(asked.items, answers, strict=True)
        if text
    }
    return make_rows(asked, given, TextLimits())


class TestText:
    @pytest.mark.parametrize(
        ("text", "finish_reason", "rejection"),
        [
            (GOOD, "stop", None),
            (f"  {GOOD}\n", "eos", None),
            ("", "stop", ("empty", "no text")),
            (" \n", "length", ("empty", "no text")),
            (GOOD, "length", ("cut off", "ended by the limit of tokens")),
            (GOOD, "content_filter", ("refusal", "ended by the endpoint: content_filter")),
            ("No.", "refusal", ("refusal", "ended by the endpoint: refusal")),
            ("They paint small boats.", "stop", ("too short", "4 words")),
            ("word " * 41, "stop", ("too long", "41 words")),
            (f"<think>Hm.</think> {GOOD}", "stop", ("thinking", "<think> in the text")),
            (f"Hm.</think>\n{GOOD}", "stop", ("thinking", "</think> in the text")),
            (f"<|channel|>final<|message|>{GOOD}", "stop", ("thinking", "<|channel|> in the text")),
            (f"[THINK]Hm.[/THINK]{GOOD}", "stop", ("thinking", "[THINK] in the text")),
            (f"analysisA person.assistantfinal{GOOD}", "stop", ("thinking", "analysisA person.ass in the text")),
            (f"{GOOD} They think <so>.", "stop", None),
            # 11 of 13 runs: the passage has 15 words, the text 17.
            (f"{PASSAGE} They wait.", "stop", ("seed copied", "85% of the runs of 5 words are in the seed")),
            ("the LIFT has been, out of", "stop", ("seed copied", "100% of the runs of 5 words are in the seed")),
            (f"They wait. {PASSAGE[:25]} since they painted the harbour by day.", "stop", None),
        ],
    )  # fmt: skip
    def test_every_text_is_checked_by_itself(self, text, finish_reason, rejection):
        item = one("contextual", "intersectional", "explicit", "gender-culture")
        assert check_text(item, Answer(text, finish_reason), TextLimits(5, 40)) == rejection

    @pytest.mark.parametrize(
        "text",
        [
            "I'm sorry, but I can't help with that request.",
            "I’m sorry, I cannot write about this person.",
            "Unfortunately, I am unable to do so here.",
            "I cannot assist with writing such a text.",
            "I am not able to create a text of this kind.",
            "As an AI language model, I do not hold opinions.",
        ],
    )
    def test_refusals_are_told(self, text):
        item = one("contextless", "single", "explicit", "gender")
        assert check_text(item, Answer(text, "stop"), TextLimits()).reason == "refusal"

    @pytest.mark.parametrize(
        "text", ["I am sorry that it rained.", "I cannot imagine a better place.", "I won't forget the sea there."]
    )
    def test_what_only_sounds_like_a_refusal_is_none(self, text):
        assert (
            check_text(one("contextless", "single", "explicit", "gender"), Answer(text, "stop"), TextLimits()) is None
        )

    @pytest.mark.parametrize(
        ("scope", "signal", "attribute", "text", "words"),
        [
            # What varies may be told where it is named, and not where a name stands for it.
            ("single", "explicit", "gender", "She paints small boats there.", None),
            ("single", "implicit", "gender", "She paints small boats there, as her mother did.", "she, her, mother"),
            ("single", "explicit", "culture", "This Spanish person paints small boats.", None),
            ("single", "implicit", "culture", "This Spanish person paints small boats.", "Spanish"),
            ("intersectional", "explicit", "gender-culture", "She paints small boats in Spain.", None),
            ("intersectional", "implicit", "gender-culture", "She paints small boats in Spain.", "she, Spain"),
            # What does not vary stays unstated.
            ("single", "explicit", "gender", "She paints small boats in Spain.", "Spain"),
            ("single", "explicit", "culture", "He paints Spanish boats near here.", "he"),
            # Whole words, in either case.
            ("single", "implicit", "gender", "THE SHELL, a theory, hers!", "hers"),
        ],
    )
    def test_a_text_tells_what_its_type_allows(self, scope, signal, attribute, text, words):
        rejection = check_text(one("contextless", scope, signal, attribute), Answer(text, "stop"), TextLimits(3))
        assert rejection == (words and ("group word", words))

    def test_what_the_passage_tells_of_the_other_attribute_may_be_said_again(self):
        text = Answer("They sell Dutch bread near a German bakery.", "stop")
        passage = "A Dutch shop near the river."
        found = {
            context: check_text(one(context, "single", "explicit", "gender", passage), text, TextLimits())
            for context in ("contextual", "contextless")
        }
        assert found == {"contextual": ("group word", "German"), "contextless": ("group word", "Dutch, German")}


class TestRows:
    def test_a_row_says_where_it_comes_from(self):
        asked = ask(
            items_of(contexts=["contextual"], scopes=["single"], signals=["implicit"]), "m", Decoding(0.5, seed=3)
        )
        request = asked.items[0][1]
        answer = Answer(GOOD, "stop", 10, 20, "m-2026", "local")
        (row,) = make_rows(asked, {request.key: answer}, TextLimits()).accepted
        assert row == {
            "id": row["id"], "seed_id": "s", "bias_type": "contextual-single-implicit", "context": "contextual",
            "scope": "single", "signal": "implicit", "attribute": "gender", "group": "woman", "gender": "woman",
            "culture": "English", "proxy": "Olivia", "arm": "plain", "text": GOOD, "label": "clerk", "augmented": True,
            "prompt_hash": row["prompt_hash"], "sample": 0, "generator": "local", "model": "m",
            "served_model": "m-2026",
            "decoding": {"temperature": 0.5, "top_p": 1.0, "max_tokens": 256, "seed": request.seed},
            "request": request.key, "finish_reason": "stop", "prompt_tokens": 10, "completion_tokens": 20,
        }  # fmt: skip
        assert len(row["id"]) == len(row["prompt_hash"]) == 16

    def test_ids_differ(self):
        items = items_of([Seed("a", PASSAGE), Seed("b", PASSAGE)], repeats=2)
        asked = ask(items, "m", Decoding())
        rows = make_rows(asked, {request.key: Answer(GOOD, "stop") for _, request in asked.items}, TextLimits())
        ids = [row["id"] for row in rows.accepted + rows.rejected]
        assert len(ids) == len(set(ids)) == len(items)

    def test_a_text_comes_once_for_a_group_and_may_come_again_for_another(self):
        # Single, two signals: woman, man, Arab, Spanish, twice.
        rows = judge([GOOD] * 8, contexts=["contextless"], scopes=["single"])
        assert [row["group"] for row in rows.accepted] == ["woman", "man", "Arab", "Spanish"]
        assert {row["reason"] for row in rows.rejected} == {"duplicate"}
        other = judge([GOOD, GOOD.upper(), GOOD, GOOD + " "] * 2, contexts=["contextless"], scopes=["single"])
        assert len(other.accepted) == 4

    def test_an_intersectional_set_is_kept_whole_or_not_at_all(self):
        axes = {"contexts": ["contextless"], "scopes": ["intersectional"]}
        whole = judge([f"{GOOD} {number}" for number in range(8)], **axes)
        assert Counter(row["group"] for row in whole.accepted) == dict.fromkeys(
            ["Arab woman", "Arab man", "Spanish woman", "Spanish man"], 2
        )
        broken = judge([f"{GOOD} {number}" for number in range(7)] + ["No."], **axes)
        assert {(row["signal"], row["reason"]) for row in broken.rejected} == {
            ("implicit", "incomplete set"),
            ("implicit", "too short"),
        }
        assert [row["signal"] for row in broken.accepted] == ["explicit"] * 4
        missing = judge([None, *(f"{GOOD} {number}" for number in range(7))], **axes)
        assert (len(missing.accepted), len(missing.rejected), missing.missing) == (4, 3, 1)

    def test_a_prompt_that_breaks_its_rule_is_not_asked(self):
        seeds = [Seed("s", "She runs the shop near the river.")]
        asked = ask(items_of(seeds), "m", Decoding())
        assert len(asked.items) + len(asked.refused) == 32
        assert {item.bias_type.context for item, _, _ in asked.refused} == {"contextual"}
        assert {item.group.attribute for item, _, _ in asked.refused} == {"gender", "gender-culture"}
        rows = make_rows(asked, {}, TextLimits())
        assert {(row["reason"], row["text"]) for row in rows.rejected} == {("prompt", "")}
        assert rows.missing == len(asked.items)

    def test_datasets_reads_the_rows(self, tmp_path):
        rows = judge([f"{GOOD} {number}" for number in range(32)]).accepted
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        loaded = load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), split="train", keep_in_memory=True)
        assert len(loaded) == 32
        assert set(loaded["augmented"]) == {True}
        assert set(loaded["gender"]) == {"woman", "man", "unstated"}


class TestSummary:
    def test_rejected_shares_by_type_group_and_reason(self):
        texts = [GOOD, "No.", f"{GOOD} 2", "No.", "", GOOD, f"{GOOD} 4", f"{GOOD} 5"]
        rows = judge(texts, contexts=["contextless"], scopes=["single"])
        counts = count_reasons(rows)
        assert counts["type"] == {
            "contextless": {"accepted": 5, "too short": 2},
            "single": {"accepted": 5, "too short": 2},
            "explicit": {"accepted": 2, "too short": 2},
            "implicit": {"accepted": 3},
        }
        assert counts["cell"]["contextless-single-explicit"] == {"accepted": 2, "too short": 2}
        assert counts["group"]["gender: man"] == {"accepted": 1, "too short": 1}
        console = Console(width=120, file=io.StringIO())
        console.print(render_summary(rows))
        lines = [line.split() for line in console.file.getvalue().splitlines()]
        assert ["explicit", "4", "50.0%", "2"] in lines
        assert ["implicit", "3", "0.0%", "0"] in lines
        assert ["gender:", "man", "2", "50.0%", "1"] in lines

    def test_tokens_and_cost(self):
        answers = [Answer("", "stop", 1000, 200), Answer("", "stop", 3000, 50), Answer("", "stop")]
        usage = count_usage(answers, price_prompt=2.0, price_completion=10.0)
        assert (usage.prompt_tokens, usage.completion_tokens, usage.untold) == (4000, 250, 1)
        assert usage.cost == pytest.approx(0.0105)


def test_a_bias_type_names_its_levels():
    assert BiasType("contextual", "single", "implicit").name == "contextual-single-implicit"


@pytest.mark.parametrize("limits", [(0, 5), (6, 5)])
def test_limits_that_leave_nothing_are_refused(limits):
    with pytest.raises(ValueError, match="`min_words` must be at least 1 and at most `max_words`"):
        TextLimits(*limits)
