import itertools
import math
import re

import pytest
import spacy
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.training import Example

from mitigate.augment import Group, available_groups
from mitigate.lexicons import load_lexicon
from mitigate.perplexity import model_perplexity
from mitigate.twins import (
    SpacyRoles,
    TwinWords,
    gender_words,
    make_twins,
    mark_stereotyped,
    nationality_words,
    read_twin_words,
    roles_by_rule,
)
from tests.pronoun_sentences import HELD_OUT, SENTENCES

NATIONS = (("Danish", "Turkish"), ("Denmark", "Turkey"), ("Dane", "Turk"))


def twins(*texts, **options):
    return make_twins(Dataset.from_dict({"text": list(texts)}), columns=["text"], **options)


def swapped(text):
    return gender_words().swap(text).text


class TestWords:
    @pytest.mark.parametrize(
        ("text", "twin"),
        [
            ("She, SHE and she", "He, HE and he"),
            ("She's here; he'll come, won't he?", "He's here; she'll come, won't she?"),
            ("She’s my step-sister's half-brother.", "He’s my step-brother's half-sister."),
            ("Mrs Smith, Ms Roe and Miss Poe met Mr. Jones.", "Mr Smith, Mr Roe and Mr Poe met Ms. Jones."),
            ("mrs smith met mr jones", "mr smith met mrs jones"),
            ("She hurt herself; HIMSELF!", "He hurt himself; HERSELF!"),
            ("Her (only) son said: “Her!”", "His (only) daughter said: “Him!”"),
            ("an Uncle, a maid and A Lady", "an Aunt, a maid and A Gentleman"),
            ("MS SMITH AND HER MOTHER", "MR SMITH AND HIS FATHER"),
            ("Ms Smith has an MS and her MARK", "Mr Smith has an MS and his MARK"),
            ("Her man-made King County, and Martin Luther King", "His man-made King County, and Martin Luther King"),
            ("the shell, a hero, and there", "the shell, a hero, and there"),
            ("Her book is hers; his book is his.", "His book is his; her book is hers."),
            ("I saw him with his wife.", "I saw her with her husband."),
            ("It was hers. HERS!", "It was his. HIS!"),
            ("the ex-wife and the trans woman", "the ex-husband and the trans man"),
            ("mary_ann and female_", "mary_ann and male_"),
        ],
    )
    def test_a_text_becomes_its_twin(self, text, twin):
        assert swapped(text) == twin

    @pytest.mark.parametrize(
        ("text", "twin"),
        [
            ("An American and a Dane", "A Dane and an American"),
            ("AN AMERICAN; A “Dane”", "A DANE; An “American”"),
            ("a Ukrainian, an Ecuadorian", "an Ecuadorian, a Ukrainian"),
            ("a young American in Andorra, a Dane", "a young Dane in Andorra, an American"),
            ("plan a, Dane", "plan a, American"),
        ],
    )
    def test_an_article_follows_its_word(self, text, twin):
        words = TwinWords(("x", "y"), (("American", "Dane"), ("Ukrainian", "Ecuadorian")))
        assert words.swap(text).text == twin
        assert words.swap(twin, words.swap(text).replaced).text == text

    @pytest.mark.parametrize(
        ("text", "twin"),
        [
            ("She is an actor, an ACTOR.", "He is an actor, an ACTOR."),
            ("He is an actor.", "She is an actress."),
            ("She, an actress, met other actors.", "He, an actor, met other actors."),
            ("An actor", "An actress"),
            ("Mr and Mrs Smith, both actors", "Ms and Mr Smith, both actresses"),
        ],
    )
    def test_a_word_of_either_group_stays_in_the_other_one(self, text, twin):
        words = gender_words()
        swap = words.swap(text)
        assert swap.text == twin
        back = words.swap(twin, swap.replaced)
        assert (back.text, words.swap(text, back.replaced).text) == (text, twin)

    def test_names_keep_their_origin(self):
        names = ("Fatima", "Alejandra", "Priya", "Keisha", "Natalia", "Colleen")
        assert [swapped(name) for name in names] == ["Ahmed", "Alfonso", "Sanjay", "DeShawn", "Dmitri", "Brendan"]

    def test_a_name_always_becomes_the_same_other_name(self):
        name = swapped("Mary")
        assert name in load_lexicon("names").words and name != "Mary"
        assert swapped("Mary asked MARY, but Mary's aunt...") == f"{name} asked {name.upper()}, but {name}'s uncle..."
        assert swapped(name) == "Mary"

    def test_every_name_and_every_pronoun_of_the_lexicons_has_a_counterpart(self):
        left = [name for name in load_lexicon("names").words if swapped(name) == name]
        assert left == []
        assert gender_words().unpaired("ex-wife, Half-Sister and trans woman; a hostess, King and ma'am") == [
            *("hostess", "King", "ma'am")
        ]
        assert not gender_words().unpaired("she he her him his hers herself himself Mr Mrs Ms Miss woman man")

    @pytest.mark.parametrize("culture", available_groups("culture"))
    @pytest.mark.parametrize(("gender", "told"), [("woman", "female"), ("man", "male")])
    def test_every_first_name_of_the_prompts_has_a_counterpart(self, gender, told, culture):
        group = Group("gender-culture", gender, culture)
        for name in {group.proxies(number)["first_name"] for number in range(8)}:
            swap = gender_words().swap(name)
            assert (swap.groups, swap.text == name) == ((told,), False), name
            assert gender_words().swap(swap.text, swap.replaced).text == name

    def test_places_that_are_called_after_a_name_stay(self):
        text = "Charlotte left San Francisco for Charlotte, NC, and she met Francisco at Big Ben."
        assert swapped(text) == "Alfie left San Francisco for Charlotte, NC, and he met Francisca at Big Ben."

    def test_a_word_of_the_lexicon_is_paired_or_refused(self):
        words = gender_words()
        silent = [w for w in load_lexicon("gender").words if words.swap(w).text == w and not words.unpaired(w)]
        assert silent == []

    def test_counterparts_are_those_of_the_lexicon(self):
        lexicon, entries = load_lexicon("gender"), set(load_lexicon("gender").words)
        for women, men in gender_words().pairs:
            if {women, men} <= entries and women != men:
                assert men in lexicon.alternatives(women) or women in lexicon.alternatives(men), (women, men)

    def test_pairs_of_your_own_keep_to_the_forms_of_the_lexicon(self):
        words = TwinWords(("danish", "turkish"), NATIONS, load_lexicon("nationality"))
        assert words.swap("A Danish chef met a TURK.").text == "A Turkish chef met a DANE."
        assert words.unpaired("A Danish and a French chef of South Korea") == ["French", "South Korea"]
        korean = TwinWords(("korean", "turkish"), (("South Korea", "Turkey"), ("South Korean", "Turkish")))
        assert korean.swap("SOUTH KOREA and a South  Korean, not Korea").text == "TURKEY and a Turkish, not Korea"
        assert korean.swap("Turkey, turkey, South Turkey").text == "South Korea, turkey, South South Korea"
        with pytest.raises(ValueError, match="'Danish' and 'Turkey' cannot take each other's place"):
            TwinWords(("danish", "turkish"), (("Danish", "Turkey"),), load_lexicon("nationality"))

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            ((), "empty"),
            ((("a", "b"), ("b", "c")), "both groups: b"),
            ((("a ", "c"),), "'a ', which must begin and end with a letter"),
        ],
    )
    def test_pairs_that_cannot_be_are_refused(self, pairs, message):
        with pytest.raises(ValueError, match=message):
            TwinWords(("x", "y"), pairs)


class TestNationalities:
    @pytest.mark.parametrize(
        ("text", "twin", "group"),
        [
            ("An English baker moved to Great Britain.", "A Spanish baker moved to Spain.", "english"),
            ("A SOUTH KOREAN BAKER FROM KOREA.", "AN ENGLISH BAKER FROM ENGLAND.", "other"),
            ("Two Turks and an Arab clerk", "Two Britons and an English clerk", "other"),
            ("A Briton and his British boat", "A Spaniard and his Spanish boat", "english"),
        ],
    )
    def test_words_of_the_english_and_of_all_others_change_places(self, text, twin, group):
        pairs, report = twins(text, attribute="nationality", length_ratios=(0.5, 2))
        assert pairs["text"] == [text, twin] and report.accepted == 1
        assert pairs["group"][0] == group and {*pairs["group"]} == {"english", "other"}
        assert nationality_words().swap(twin, pairs["replaced"][1]).text == text

    def test_any_two_cultures_can_be_compared(self):
        for first, second in itertools.permutations(available_groups("culture"), 2):
            swap = nationality_words(first, second).swap(f"{first} and {second}")
            assert (swap.text, swap.groups) == (f"{second} and {first}", (first.lower(), second.lower()))
        words = nationality_words("Korean", "Turkish")
        assert words.swap("Koreans in Turkey").text == "Turks in South Korea"
        rows = ["A French baker", "A Korean baker in the UK", "English food in Korea", "turkey", "A Korean in Turkey"]
        assert twins(*rows, attribute=words).report.rejected == {
            "word without counterpart": 3, "nothing to swap": 1, "both groups": 1,
        }  # fmt: skip

    def test_all_words_of_the_cultures_are_swapped(self):
        words = nationality_words()
        assert all(words.swap(word).text != word for pair in words.pairs for word in pair)
        assert {culture for culture in available_groups("culture") if words.swap(culture).replaced} == {
            *available_groups("culture")
        }

    @pytest.mark.parametrize(
        ("cultures", "message"),
        [
            (("Danish",), "`first`: there are no words for 'Danish', only for Arab, Chinese, "),
            (("Arab", "Danish"), "`second`: there are no words for 'Danish'"),
            (("Arab", "Arab"), "must be two cultures, got 'Arab' twice"),
        ],
    )
    def test_other_cultures_are_refused(self, cultures, message):
        with pytest.raises(ValueError, match=message):
            nationality_words(*cultures)


class TestFiles:
    def test_pairs_are_read_and_comments_left_out(self, tmp_path):
        file = tmp_path / "pairs.tsv"
        file.write_text("# mine\ndanish\tturkish\n\nDenmark\tTürkiye \n# places\nDane\tTurk\n", encoding="utf-8")
        words = read_twin_words(file)
        assert words == TwinWords(("danish", "turkish"), (("Denmark", "Türkiye"), ("Dane", "Turk")))
        assert words.swap("A Dane in Denmark").text == "A Turk in Türkiye"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "its first line must name two groups"),
            ("a\ta\nDane\tTurk\n", "its first line must name two groups"),
            ("a\tb\n# none\n", "`pairs` is empty"),
            ("a\tb\nDane Turk\n", "line 2 must be two words or names with one tab between them, got 'Dane Turk'"),
            ("a\tb\n\nDane\tTurk\tPole\n", "line 3 must be two words"),
            ("a\tb\nDane\t\n", "line 2 must be two words"),
            ("a\tb\nDane\tTurk\nPole\tDane\n", "words of both groups: Dane"),
        ],
    )
    def test_a_misshapen_file_is_refused_by_its_name(self, tmp_path, text, message):
        (tmp_path / "pairs.tsv").write_text(text)
        with pytest.raises(ValueError, match=rf"pairs\.tsv: .*{re.escape(message)}"):
            read_twin_words(tmp_path / "pairs.tsv")


class TestRoles:
    def right(self, sentences, finder=roles_by_rule):
        found = [
            (wanted, "D" if role == "determiner" else "O")
            for text, roles in sentences
            for wanted, role in zip(roles, finder(text).values(), strict=True)
        ]
        return sum(wanted == role for wanted, role in found), len(found)

    def test_the_rule_is_right_as_often_as_the_page_says(self):
        assert self.right(SENTENCES) == (72, 75)
        assert self.right(HELD_OUT) == (130, 141)

    @pytest.mark.parametrize(
        ("text", "twin"),
        [
            ("Will will go with his will.", "Will will go with her will."),
            ("She lost her will to live.", "He lost his will to live."),
            ("His will was read with all his might.", "Her will was read with all her might."),
            ("His will be the next turn.", "Hers will be the next turn."),
            ("Those who know her will tell you.", "Those who know him will tell you."),
        ],
    )
    def test_will_is_a_noun_unless_it_helps_a_verb(self, text, twin):
        assert swapped(text) == twin

    def test_a_tagger_is_asked(self):
        # The rule takes her for a determiner here; the tagger of this pipeline knows better.
        nlp = pipeline({"gave": ["PRP", "VBD", "PRP", "JJ", "NNS"], "sold": ["PRP", "VBD", "PRP$", "NN"]})
        text = "They gave her full marks"
        assert swapped(text) == "They gave his full marks"
        assert gender_words().swap(text, roles=SpacyRoles(nlp)).text == "They gave him full marks"
        assert gender_words().swap("He sold HIS car", roles=SpacyRoles(nlp)).text == "She sold HER car"

    def test_his_without_a_noun_is_hers_whatever_tag_it_has(self):
        nlp = pipeline({"was": ["PRP", "VBD", "PRP$", "."], "is": ["PRP$", "VBZ", "JJ"]})
        finder = SpacyRoles(nlp)
        assert gender_words().swap("It was his .", roles=finder).text == "It was hers ."
        assert gender_words().swap("His is red", roles=finder).text == "Hers is red"

    def test_a_tagger_that_was_trained_and_saved_is_loaded_by_its_folder(self, tmp_path):
        nlp = spacy.blank("en")
        nlp.add_pipe("tagger")
        texts = {
            "They gave her marks": ["PRP", "VBD", "PRP", "NNS"],
            "They sold her house": ["PRP", "VBD", "PRP$", "NN"],
        }
        examples = [Example.from_dict(nlp.make_doc(text), {"tags": tags}) for text, tags in texts.items()]
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(20):
            nlp.update(examples, sgd=optimizer)
        nlp.to_disk(tmp_path)
        finder = SpacyRoles(str(tmp_path))
        assert [list(finder(text).values()) for text in texts] == [["other"], ["determiner"]]

    def test_a_pipeline_without_tags_is_refused(self):
        with pytest.raises(ValueError, match="sets no part-of-speech tags"):
            SpacyRoles(spacy.blank("en"))("her book")


@Language.factory("known_tags")
def known_tags(nlp, name, tags: dict):
    def component(doc):
        for token, tag in zip(doc, tags[doc[1].text], strict=True):
            token.tag_ = tag
        return doc

    return component


def pipeline(tags):
    """A pipeline that knows the tags of texts, by their second word."""
    nlp = spacy.blank("en")
    nlp.add_pipe("known_tags", config={"tags": tags})
    return nlp


WORD_LIST = sorted({word for pair in gender_words().pairs for word in pair})
CASES = st.sampled_from([str, str.upper, str.capitalize, str.lower])
GENDERED = st.builds(lambda word, case: case(word), st.sampled_from(WORD_LIST), CASES)
OTHER = st.sampled_from(["book", "the", "to", "sings", "and", "shell", "2", "é", "_", "hostess", "French"])
GLUE = st.sampled_from([" ", ", ", "'s ", "’s ", "-", ". ", "\n", " (", '" '])
TEXTS = st.lists(st.tuples(st.one_of(GENDERED, OTHER), GLUE), max_size=12).map(
    lambda parts: "".join(word + glue for word, glue in parts)
)


class TestMakeTwins:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.one_of(TEXTS, st.text(max_size=30)), min_size=1, max_size=5))
    def test_swapped_twice_a_row_is_as_it_was_and_none_is_lost(self, texts):
        pairs, report = twins(*texts, both_groups=True, length_ratios=(0.01, 100))
        assert report.accepted + sum(report.rejected.values()) == report.rows == len(texts)
        assert len(pairs) == 2 * report.accepted
        for first, second in zip(
            pairs.select(range(0, len(pairs), 2)), pairs.select(range(1, len(pairs), 2)), strict=True
        ):
            assert first["text"] == texts[first["pair"]] and first["pair"] == second["pair"]
            assert (first["twin"], second["twin"]) == (False, True)
            for member, other in ((first, second), (second, first)):
                assert gender_words().swap(member["text"], member["replaced"]).text == other["text"]

    @settings(deadline=None, max_examples=60)
    @given(TEXTS)
    def test_a_twin_has_no_word_of_the_old_group(self, text):
        pairs, _ = twins(text, length_ratios=(0.01, 100))
        for row in pairs:
            assert set(gender_words().swap(row["text"]).groups) == {row["group"]}

    def test_reasons_are_counted_and_pairs_say_where_they_are_from(self):
        pairs, report = twins(
            "It rains.", "She is a hostess.", "He is a pilot.", "He met his wife.", "Her.", "She", "It rains again."
        )
        assert report.rejected == {
            "word without counterpart": 1,
            "nothing to swap": 2,
            "both groups": 1,
            "length ratio": 1,
        }
        assert (report.rows, report.accepted, report.rejected_share) == (7, 2, pytest.approx(5 / 7))
        assert pairs["pair"] == [2, 2, 4, 4] and pairs["group"] == ["male", "female", "female", "male"]
        assert pairs["text"] == ["He is a pilot.", "She is a pilot.", "Her.", "Him."]

    def test_a_twin_that_does_not_lead_back_is_rejected(self):
        words = TwinWords(("danish", "american"), (("Danish", "American"),))
        _, report = twins("an Danish chef", "a Danish chef", attribute=words)  # the wrong article would be mended
        assert report.rejected == {"irreversible": 1} and report.accepted == 1

    def test_a_name_that_is_in_no_pair_is_noticed_by_a_finder_of_names(self):
        people = re.compile(r"(?:[A-Z][a-z]+ )?(?:Smith|Xanthippe)")

        def names(text):
            return [(*found.span(), "name") for found in people.finditer(text)]

        rows = ["Mary Smith sings. Smith, she says, paints.", "Xanthippe sings, and she paints.", "She knows Smith."]
        assert twins(*rows).report.accepted == 3
        pairs, report = twins(*rows, names=names)
        assert report.rejected == {"name without counterpart": 2} and pairs["pair"] == [0, 0]

    def test_rows_without_any_twin_give_no_pairs_but_their_columns(self):
        data = Dataset.from_dict({"text": ["They sing."], "label": ["singer"]})
        pairs, report = make_twins(data, columns=["text"])
        assert (len(pairs), report.rejected) == (0, {"nothing to swap": 1})
        some = make_twins(Dataset.from_dict({"text": ["He sings."], "label": ["singer"]}), columns=["text"]).pairs
        assert pairs.features == some.features

    def test_rows_of_both_groups_are_kept_if_wanted(self):
        pairs, report = twins("He met his wife.", both_groups=True)
        assert (report.accepted, pairs["text"][1], pairs["group"]) == (1, "She met her husband.", ["male", "female"])

    def test_his_and_her_come_back_by_what_was_replaced(self):
        text = "Her house is hers, and I visit her."
        pairs, _ = twins(text)
        assert pairs["text"] == [text, "His house is his, and I visit him."]
        assert pairs["replaced"][1] == ["Her", "hers", "her"]
        assert gender_words().swap(pairs["text"][1], ["Her", "hers", "her"]).text == text

    def test_all_columns_are_swapped_and_the_others_kept(self):
        rows = Dataset.from_dict(
            {
                "prompt": ["Mary:", "x"],
                "completion": ["She paints.", "y"],
                "label": ["painter", "z"],
                "group": ["?", "?"],
            }
        )
        pairs, report = make_twins(rows)
        name = swapped("Mary")
        assert pairs[1]["prompt"] == f"{name}:" and pairs[1]["completion"] == "He paints."
        assert pairs["label"] == ["painter", "painter"] and pairs["group"] == ["female", "male"]
        assert report.rejected == {"nothing to swap": 1}

    def test_perplexity_ratios_are_those_of_the_bounds(self):
        ratios = {"He is a pilot.": 1.25, "He is a nurse.": 1.26, "He is a cook.": 0.79, "He is a monster.": 0.8}
        bounds = (0.8 - 1e-9, 1.25 + 1e-9)

        def measure(texts):
            return [math.log(ratios[f"He{text[3:]}"]) if text.startswith("She") else 0.0 for text in texts]

        pairs, report = twins(*ratios, perplexity=measure, perplexity_ratios=bounds)
        assert [pairs["text"][place] for place in (0, 2)] == ["He is a pilot.", "He is a monster."]
        assert report.rejected == {"perplexity ratio": 2} and report.rejected_share == 0.5

    @pytest.mark.parametrize("measured", [[1.0], [1.0] * 3, [[1.0, 1.0]], 1.0])
    def test_a_perplexity_that_is_not_one_number_a_text_is_refused(self, measured):
        with pytest.raises(ValueError, match="`perplexity` must give one number for each of 2 texts, got shape"):
            twins("He is a pilot.", perplexity=lambda texts: measured)

    def test_a_row_without_a_text_is_named(self):
        with pytest.raises(ValueError, match="'text' has no text in row 2"):
            twins("He sings.", None)

    def test_a_model_that_dislikes_the_twin_rejects_it(self, model, tokenizer):
        text = "she writes well today"
        measure = model_perplexity(model, tokenizer)
        first, second = measure([text, "he writes well today"])
        ratio = math.exp(second - first)
        assert ratio != 1
        around = (min(1, ratio) * 0.999, max(1, ratio) * 1.001)
        assert twins(text, perplexity=measure, perplexity_ratios=around).report.accepted == 1
        short = (1, 1 + (ratio - 1) / 2) if ratio > 1 else (1 - (1 - ratio) / 2, 1)
        assert twins(text, perplexity=measure, perplexity_ratios=short).report.rejected == {"perplexity ratio": 1}

    def test_a_report_is_a_table(self):
        _, report = twins("He is a pilot.", "It rains.")
        assert report.__rich__().row_count == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"columns": ["body"]}, "'body' is no column"),
            ({"columns": ["number"]}, "no column of texts"),
            ({"columns": []}, "names no column"),
            ({"columns": ["text"], "length_ratios": (1.1, 2)}, "must hold 1"),
            ({"columns": ["text"], "attribute": "religion"}, "only pairs for 'gender' and 'nationality'"),
        ],
    )
    def test_a_bad_request_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_twins(Dataset.from_dict({"text": ["a"], "number": [1]}), **options)

    def test_a_column_of_the_result_is_not_overwritten(self):
        with pytest.raises(ValueError, match="a column 'pair' already"):
            make_twins(Dataset.from_dict({"text": ["a"], "pair": [1]}), columns=["text"])


def test_the_stereotyped_member_is_marked():
    rows = Dataset.from_dict(
        {"text": ["He is a nurse.", "She is a pilot.", "He is a cook."], "label": ["n", "p", "c"]}
    )
    pairs, _ = make_twins(rows, columns=["text"])
    marked = mark_stereotyped(pairs.select(range(4)), {"n": "female", "p": "male"})
    assert list(zip(marked["text"], marked["stereotyped"], strict=True)) == [
        ("He is a nurse.", False),
        ("She is a nurse.", True),
        ("She is a pilot.", False),
        ("He is a pilot.", True),
    ]
    with pytest.warns(UserWarning, match="1 of 3 pairs are left out: .* for the labels 'c', only for 'n', 'p'"):
        mark_stereotyped(pairs, {"n": "female", "p": "male"})
    with pytest.raises(ValueError, match="names 'nurse', 0, and the pairs have the labels 'c', 'n', 'p'"):
        mark_stereotyped(pairs, {"nurse": "female", 0: "male"})
    assert mark_stereotyped(pairs.select([]), {"n": "female"}).num_rows == 0
    with pytest.raises(ValueError, match="names the group 'women'"):
        mark_stereotyped(pairs, {"n": "women"})
    with pytest.raises(ValueError, match="no column 'job'"):
        mark_stereotyped(pairs, {"n": "female"}, label_column="job")
