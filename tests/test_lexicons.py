import pickle
import re
import unicodedata
from collections import Counter
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import mitigate.lexicons
from mitigate.lexicons import Group, Lexicon, Members, available_lexicons, load_lexicon
from mitigate.lexicons.files import read_word_list
from mitigate.twins import gender_words
from mitigate.words import WordMatcher
from tests import tiny_tokenizers

FOLDER = Path(mitigate.lexicons.__file__).parent
KINDS = {"gender", "nationality", "religion", "race", "age"}
ENGLISH = ["age", "gender", "names", "nationality", "race", "religion"]
OTHERS = [
    f"{kind}-{language}" for kind in ("gender", "nationality") for language in ("ar", "es", "ko", "pt", "tr", "zh")
]
# Words of these agree with others of their sentence, so that a replacement would be found out.
WITHOUT_ALTERNATIVES = ["gender-ar", "gender-es", "gender-pt"]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizers.byte_level_bpe()


def write(folder, text):
    path = folder / "mine.txt"
    path.write_text(text, encoding="utf-8")
    return path


class TestShipped:
    def test_the_names(self):
        assert available_lexicons() == sorted(ENGLISH + OTHERS)

    @pytest.mark.parametrize("name", ENGLISH + OTHERS)
    def test_source_licence_and_kind(self, name):
        lexicon = load_lexicon(name)
        assert (lexicon.name, lexicon.source) == (name, "compiled by the mitigate authors")
        assert lexicon.licence == "Apache-2.0"
        kind = "gender" if name == "names" else name.split("-")[0]
        assert {lexicon.kind(word) for word in lexicon.words} == {kind} <= KINDS

    @pytest.mark.parametrize("name", ENGLISH + OTHERS)
    def test_a_file_names_what_it_is_and_holds_no_entry_twice(self, name):
        file = read_word_list((FOLDER / f"{name}.txt").read_text(encoding="utf-8"), name)
        assert file.header["language"] == (name.partition("-")[2] or "en")
        assert [word for word, times in Counter(file.words).items() if times > 1] == []

    @pytest.mark.parametrize("name", ENGLISH + OTHERS)
    def test_each_entry_has_alternatives_or_the_file_says_that_none_has(self, name):
        lexicon = load_lexicon(name)
        alone = [word for word in lexicon.words if not lexicon.alternatives(word)]
        assert alone == (list(lexicon.words) if name in WITHOUT_ALTERNATIVES else [])

    @pytest.mark.parametrize("name", ENGLISH + OTHERS)
    def test_entries_replace_each_other_unless_one_only_stands_in(self, name):
        lexicon = load_lexicon(name)
        stand_ins = set(re.findall(r"\((.+?)\)", (FOLDER / f"{name}.txt").read_text(encoding="utf-8")))
        for group in lexicon.groups:
            entries = [word for word in group.words if word in lexicon.words]
            for word in entries:
                own = set(lexicon.alternatives(word)) == set(group.words) - {word}
                assert own or any(stand_in in word for stand_in in stand_ins), (name, word)

    @pytest.mark.parametrize("name", ENGLISH + OTHERS)
    def test_the_page_tells_the_number_of_entries(self, name):
        page = Path(__file__).parents[1].joinpath("docs/lexicons.md").read_text(encoding="utf-8")
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.split("|")[4].strip() == f"{len(load_lexicon(name).words):,}"

    def test_each_entry_is_composed(self):
        # Text is mostly written with é as one character; an entry with e and an accent would never be found in it.
        for name in ENGLISH + OTHERS:
            assert [w for w in load_lexicon(name).words if unicodedata.normalize("NFC", w) != w] == []


class TestEnglish:
    def test_gender_holds_each_pronoun_and_leaves_out_words_with_another_sense(self):
        words = set(load_lexicon("gender").words)
        assert {"he", "him", "his", "himself", "she", "her", "hers", "herself"} <= words
        assert {"mr", "mrs", "Ms", "mother", "fathers", "actress", "niece"} <= words
        assert not {"miss", "ms", "host", "count", "master", "they", "it"} & words

    @pytest.mark.parametrize(
        ("word", "other"),
        [
            ("he", "she"),
            ("she", "he"),
            ("him", "her"),
            ("his", "her"),
            ("her", "his"),  # the determiner: "her book"
            ("hers", "his"),
            ("himself", "herself"),
            ("mother", "father"),
            ("dad", "mom"),
            ("countess", "count"),
            ("businessmen", "businesswomen"),
        ],
    )
    def test_a_gendered_word_has_its_counterpart(self, word, other):
        assert load_lexicon("gender").alternatives(word) == (other,)

    def test_a_title_has_the_other_titles(self):
        assert set(load_lexicon("gender").alternatives("Ms")) == {"Mr", "Mrs", "Miss"}

    def test_a_name_has_those_of_women_and_men(self):
        others = load_lexicon("names").alternatives("Fatima")
        assert {"Mary", "David", "Jamal", "José"} <= set(others)
        assert not {"Fatima", "Will", "May", "Hope", "Christian"} & set(others)

    def test_names_tell_sex_and_origin(self):
        names = load_lexicon("names")
        assert set(names.words_of("female")) | set(names.words_of("male")) == set(names.words)
        assert not set(names.words_of("female")) & set(names.words_of("male"))
        assert names.people("Fatima") == ("female", "Arabic")
        assert {"Keiko", "Sakura"} <= set(names.words_of("female", "Japanese"))
        assert names.people("Mary") == ("female",)

    def test_gendered_words_tell_of_women_or_men(self):
        gender = load_lexicon("gender")
        women, men = (set(gender.words_of(people)) for people in ("female", "male"))
        assert set(gender.words) - women - men == {"transgender", "cisgender", "nonbinary", "non-binary"}
        assert not women & men
        assert {"she", "Ms", "mothers", "queen"} <= women and {"he", "mr", "uncle", "monk"} <= men

    @pytest.mark.parametrize(
        ("name", "woman", "man"), [("gender-ko", "아내와", "남편과"), ("gender-zh", "妈妈", "爸爸")]
    )
    def test_so_do_those_of_other_languages(self, name, woman, man):
        lexicon = load_lexicon(name)
        assert set(lexicon.words_of("female")) | set(lexicon.words_of("male")) == set(lexicon.words)
        assert (lexicon.people(woman), lexicon.people(man)) == (("female",), ("male",))
        assert lexicon.counterparts(woman) == (man,)

    def test_origins_are_those_that_the_page_names(self):
        page = Path(__file__).parents[1].joinpath("docs/lexicons.md").read_text(encoding="utf-8")
        origins = {each.people for each in load_lexicon("names").members} - {"female", "male"}
        assert (
            set(re.findall(r'`"(\w[\w ]*)"`', page.partition("origin of\na name")[2].partition("\n\n")[0])) == origins
        )

    def test_pairs_of_twins_are_of_a_woman_and_a_man_of_one_origin(self):
        gender, names = load_lexicon("gender"), load_lexicon("names")
        for woman, man in gender_words().pairs:
            for lexicon in (gender, names):
                if {woman, man} <= set(lexicon.words) and woman != man:
                    (sex, *origin), (other_sex, *other_origin) = lexicon.people(woman), lexicon.people(man)
                    assert (sex, other_sex) == ("female", "male"), (woman, man)
                    assert origin == other_origin or not (origin and other_origin), (woman, man)

    def test_an_exception_holds_an_entry_of_its_own_list_and_of_no_other(self):
        # Exceptions hold for all lists that are united.
        tokenizer = tiny_tokenizers.byte_level_bpe()
        matchers = {
            name: WordMatcher(tokenizer, Lexicon(name, load_lexicon(name).words, exact=load_lexicon(name).exact))
            for name in ENGLISH
        }
        for name in ENGLISH:
            for exception in load_lexicon(name).exceptions:
                hits = {other for other in ENGLISH if matchers[other].find(tokenizer(exception).input_ids)}
                assert hits == {name}, exception

    def test_nationality_holds_names_and_demonyms_with_capitals_only(self):
        words = load_lexicon("nationality").words
        assert {"China", "Chinese", "Côte d'Ivoire", "South Korea", "Papua New Guinea", "US", "Filipinas"} <= set(
            words
        )
        assert [word for word in words if word == word.lower()] == []

    @pytest.mark.parametrize(
        ("word", "other", "of_another_form"),
        [("Germany", "Peru", "Peruvian"), ("German", "Peruvian", "Peruvians"), ("Germans", "Peruvians", "Peru")],
    )
    def test_a_nation_or_demonym_has_those_of_its_form(self, word, other, of_another_form):
        others = load_lexicon("nationality").alternatives(word)
        assert other in others
        assert of_another_form not in others

    @pytest.mark.parametrize(
        ("name", "words", "left_out"),
        [
            ("religion", {"Muslim", "Jews", "Hinduism", "mosque", "imam", "atheist"}, "agnostic"),
            ("race", {"Black", "Latina", "African American", "black people", "Asians", "Roma"}, "black"),
            ("age", {"elderly", "teenagers", "young", "millennial", "senior citizen"}, "old"),
        ],
    )
    def test_other_kinds(self, name, words, left_out):
        lexicon = load_lexicon(name)
        assert words <= set(lexicon.words)
        assert left_out not in lexicon.words


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("gender-es", "Él y su esposa; la casa de la Sra. Ruiz", ["él", "esposa", "Sra"]),
        ("nationality-es", "argentina, de Argentina; las españolas", ["argentina", "Argentina", "españolas"]),
        ("gender-pt", "Ela é a mãe dele.", ["ela", "mãe", "dele"]),
        ("nationality-pt", "os alemães no Brasil", ["alemães", "Brasil"]),
        ("gender-ar", "وهو زوجها، والمرأة", ["وهو", "زوجها", "والمرأة"]),
        ("nationality-ar", "ولد في مصر مع اليابانيين", ["مصر", "اليابانيين"]),
        ("gender-tr", "Annesi ve oğluyla; İş kadını", ["annesi", "oğluyla", "İş kadını"]),
        ("nationality-tr", "Türkiye'de Almanların", ["Türkiye", "Almanların"]),
        ("gender-ko", "그녀는 남편과 딸을", ["그녀는", "남편과", "딸을"]),
        ("nationality-ko", "한국에서 온 미국인은", ["한국에서", "미국인은"]),
        ("gender-zh", "他说她妈妈和女演员都爱先生", ["他", "她", "妈妈", "女", "先生"]),
        ("gender-zh", "其他人尤其他们；國外公司的老師媽媽", ["他们", "媽媽"]),
        ("gender-zh", "首先生产吉他，和尚未成年的子女、父母、夫妻", []),
        ("gender-zh", "安排他安装排他性条款，知道士兵是小伙伴", ["他"]),
        ("nationality-zh", "美国人在發展中國家，和中国的關係", ["美国", "中国"]),
        ("nationality-zh", "拉美国家；穿越南极；上海地铁；印度洋", ["拉美"]),
        ("nationality-zh", "知道德国和道德国家，河南非常像南非", ["德国", "南非"]),
    ],
)
def test_words_are_found_in_other_languages(tokenizer, name, text, found):
    matcher = WordMatcher(tokenizer, load_lexicon(name))
    assert [match.entry for match in matcher.find(tokenizer(text).input_ids)] == found


@pytest.mark.parametrize(
    ("name", "word", "other"),
    [
        ("nationality-es", "alemanas", "chinas"),
        ("nationality-pt", "alemães", "chineses"),
        ("nationality-ar", "المصريين", "الصينيين"),
        ("gender-tr", "oğluyla", "kızıyla"),
        ("nationality-tr", "Almanların", "Rusların"),
        ("gender-ko", "남편과", "아내와"),
        ("nationality-ko", "미국인은", "중국인은"),
        ("gender-zh", "女儿", "儿子"),
        ("gender-zh", "孫女", "孫子"),
        ("nationality-zh", "美国", "法国"),
        ("nationality-zh", "美國", "法國"),
    ],
)
def test_an_inflected_word_has_others_of_its_form(name, word, other):
    assert other in load_lexicon(name).alternatives(word)


class TestOwnLexicon:
    def test_every_other_word_is_an_alternative(self):
        jobs = Lexicon("jobs", ("nurse", "doctor", "pilot"))
        assert jobs.kind("nurse") == "jobs"
        assert jobs.alternatives("doctor") == ("nurse", "pilot")
        assert Lexicon("jobs", ("nurse",)).alternatives("nurse") == ()

    def test_groups_tell_kinds_and_alternatives(self):
        groups = (Group("job", "singular", ("nurse", "doctor")), Group("place", "", ("ward", "doctor", "clinic")))
        lexicon = Lexicon("mine", ("nurse", "doctor", "ward"), groups=groups)
        assert [lexicon.kind(word) for word in lexicon.words] == ["job", "job", "place"]
        assert lexicon.alternatives("doctor") == ("nurse",)
        assert lexicon.alternatives("ward") == ("doctor", "clinic")

    def test_counterparts_tell_of_other_people(self):
        people = {"f": ("Ann", "Aiko", "Fatima"), "m": ("Bob", "Kenji"), "Japan": ("Aiko", "Kenji")}
        members = tuple(Members(name, words) for name, words in people.items())
        lexicon = Lexicon("names", ("Ann", "Aiko", "Fatima", "Bob", "Kenji", "Kim"), members=members)
        assert lexicon.counterparts("Aiko") == ("Kenji",)
        assert lexicon.counterparts("Kenji") == ("Aiko",)
        assert lexicon.counterparts("Ann") == ("Bob", "Kim")
        assert lexicon.counterparts("Kim") == lexicon.alternatives("Kim")
        assert Lexicon("f", ("Ann", "Eve"), members=(Members("f", ("Ann", "Eve")),)).counterparts("Ann") == ()

    def test_members_tell_of_whom_an_entry_tells(self):
        members = (Members("female", ("Mary", "Fatima")), Members("Arab", ("Fatima", "Ali")))
        lexicon = Lexicon("names", ("Fatima", "Mary", "Ali", "Kim"), members=members)
        assert [lexicon.people(name) for name in lexicon.words] == [("female", "Arab"), ("female",), ("Arab",), ()]
        assert lexicon.words_of("female") == ("Fatima", "Mary")
        assert lexicon.words_of("female", "Arab") == ("Fatima",)
        with pytest.raises(ValueError, match=r"Lexicon 'names' tells of no people 'male', only of: female, Arab\."):
            lexicon.words_of("male")
        with pytest.raises(ValueError, match=r"Lexicon 'jobs' tells of no people 'male', only of: none\."):
            Lexicon("jobs", ("nurse",)).words_of("male")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"exceptions": ("she",)}, "Lexicon 'mine': 'she' is an entry and an exception. Take one of them out."),
            ({"exceptions": (" ",)}, "Lexicon 'mine' has a blank entry. Take it out."),
            ({"exact": ("She",)}, "Lexicon 'mine': `exact` holds 'She', no entry. Spell it as in `words`."),
            ({"members": (Members("f", ("her",)),)}, "Lexicon 'mine': `members` holds 'her', no entry."),
        ],
    )
    def test_what_contradicts_the_entries_is_refused(self, options, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            Lexicon("mine", ("she",), **options)

    def test_an_entry_in_no_group_is_refused(self):
        with pytest.raises(ValueError, match=r"Lexicon 'mine': entry 'ward' is in none of `groups`"):
            Lexicon("mine", ("nurse", "ward"), groups=(Group("job", "", ("nurse",)),))

    @pytest.mark.parametrize("ask", [Lexicon.kind, Lexicon.alternatives])
    def test_an_entry_that_is_not_there(self, ask):
        with pytest.raises(ValueError, match=r"Lexicon 'mine' has no entry 'He'\. Spell it as in `words`\."):
            ask(Lexicon("mine", ("he",)), "He")

    def test_it_is_frozen_hashable_and_can_be_pickled(self):
        lexicon = load_lexicon(["gender", "nurse"])
        assert lexicon.alternatives("she") == ("he",)
        copy = pickle.loads(pickle.dumps(lexicon))
        assert (copy, hash(copy)) == (lexicon, hash(lexicon))
        assert copy.alternatives("she") == ("he",)
        with pytest.raises(FrozenInstanceError):
            lexicon.words = ("he",)

    @pytest.mark.parametrize("build", [lambda: load_lexicon([]), lambda: Lexicon("words", ())])
    def test_an_empty_one_is_refused(self, build):
        with pytest.raises(ValueError, match=r"Lexicon 'words' is empty: it needs at least one word\."):
            build()

    def test_a_blank_entry_is_refused(self):
        with pytest.raises(ValueError, match=r"Lexicon 'words' has a blank entry\. Take it out\."):
            load_lexicon(["she", "  "])

    def test_one_is_returned_as_it_is(self):
        lexicon = Lexicon("mine", ("she",))
        assert load_lexicon(lexicon) is lexicon


class TestFile:
    @pytest.mark.parametrize("kind", [str, Path])
    def test_lines_without_comments_and_blanks(self, tmp_path, kind):
        path = write(tmp_path, "# my words\n\n  she \nSouth   Korea\nTürkiye\nshe\n")
        lexicon = load_lexicon(kind(path))
        assert lexicon == Lexicon("mine", ("she", "South Korea", "Türkiye"), source=str(path))
        assert lexicon.kind("she") == "mine"
        assert lexicon.alternatives("Türkiye") == ("she", "South Korea")

    def test_a_header(self, tmp_path):
        path = write(tmp_path, "# Source: a survey, 2024\n# licence: MIT\n# kind: job\nnurse\n# kind: late\n")
        lexicon = load_lexicon(path)
        assert (lexicon.source, lexicon.licence, lexicon.kind("nurse")) == ("a survey, 2024", "MIT", "job")

    def test_sections_and_counterparts(self, tmp_path):
        path = write(tmp_path, "pilot\n## plural\nnurses\nactors | actresses | (players)\npilots\n")
        lexicon = load_lexicon(path)
        assert lexicon.words == ("pilot", "nurses", "pilots", "actors", "actresses")
        alternatives = [lexicon.alternatives(word) for word in lexicon.words]
        assert alternatives == [(), ("pilots",), ("nurses",), ("actresses", "players"), ("actors", "players")]
        assert [group.form for group in lexicon.groups] == ["", "plural", "plural"]

    def test_patterns(self, tmp_path):
        path = write(tmp_path, "## noun: * *s re*\nread\nset | (let)\n")
        lexicon = load_lexicon(path)
        assert lexicon.words == ("read", "reads", "reread", "set", "sets", "reset")
        assert lexicon.alternatives("sets") == ("lets",)
        assert lexicon.groups[0].form == "noun"

    def test_a_colon_in_a_head_without_patterns(self, tmp_path):
        lexicon = load_lexicon(write(tmp_path, "## family: close\nuncle\naunt\n"))
        assert lexicon.groups == (Group("mine", "family: close", ("uncle", "aunt")),)

    def test_a_wrong_pattern_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"Lexicon 'mine', section 'noun: \* s': pattern 's' must hold one `\*`"):
            load_lexicon(write(tmp_path, "## noun: * s\nnurse\n"))

    def test_no_alternatives(self, tmp_path):
        lexicon = load_lexicon(write(tmp_path, "# alternatives: none\nuncle\naunt | niece\n"))
        assert [lexicon.alternatives(word) for word in lexicon.words] == [(), (), ()]

    def test_another_word_about_alternatives_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"`# alternatives:` must be 'none' or left out, got 'some'\."):
            load_lexicon(write(tmp_path, "# alternatives: some\nuncle\n"))

    def test_entries_in_quotes_are_exact(self, tmp_path):
        lexicon = load_lexicon(write(tmp_path, '"Ms"\nmrs | "Miss" | (Mr)\n## name: * *s\n"Mark"\n'))
        assert lexicon.words == ("Ms", "mrs", "Miss", "Mark", "Marks")
        assert lexicon.exact == ("Ms", "Miss", "Mark", "Marks")
        assert lexicon.alternatives("mrs") == ("Miss", "Mr")

    def test_exceptions(self, tmp_path):
        lexicon = load_lexicon(write(tmp_path, "White\n## exceptions\nWhite House\n## exceptions: New-*\nWhite\n"))
        assert (lexicon.words, lexicon.exceptions) == (("White",), ("White House", "New-White"))
        assert [group.form for group in lexicon.groups] == [""]

    def test_people(self, tmp_path):
        text = "## name [female, Arab]\nFatima\n## name [male]\nPaul\n## noun [female | male]: * *s\ngirl | (boy)\n"
        lexicon = load_lexicon(write(tmp_path, text))
        people = {"female": ("Fatima", "girl", "girls"), "Arab": ("Fatima",), "male": ("Paul",)}
        assert {each.people: each.words for each in lexicon.members} == people
        assert lexicon.alternatives("Fatima") == ("Paul",)
        assert lexicon.alternatives("girls") == ("boys",)
        assert [group.form for group in lexicon.groups] == ["name", "noun", "noun"]

    def test_the_file_of_the_page_is_one(self, tmp_path):
        page = Path(__file__).parents[1].joinpath("docs/lexicons.md").read_text(encoding="utf-8")
        lexicon = load_lexicon(write(tmp_path, page.partition("```text\n")[2].partition("```")[0]))
        assert lexicon.licence == "CC0-1.0"
        assert lexicon.words[:5] == ("nurse", "pilot", "actor", "actress", "hostess")
        assert lexicon.words_of("male") == ("steward",) and lexicon.exceptions == ("doctor's degree",)

    def test_people_that_do_not_fit_the_line_are_refused(self, tmp_path):
        message = "section 'noun': the line 'mr | mrs | Ms' has 3 words, and the head of the section names people"
        with pytest.raises(ValueError, match=re.escape(message)):
            load_lexicon(write(tmp_path, "## noun [male | female]\nmr | mrs | Ms\n"))

    def test_an_empty_one_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="Lexicon 'mine' is empty"):
            load_lexicon(write(tmp_path, "# nothing\n"))

    def test_a_missing_one_is_named(self):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
            load_lexicon("nowhere.txt")


class TestUnion:
    def test_words_names_paths_and_lexicons(self, tmp_path):
        path = write(tmp_path, "Quebec\n")
        united = load_lexicon(["she", "gender", path, Lexicon("own", ("Texan",), licence="MIT"), "nurse"])
        gender = load_lexicon("gender")
        assert united.name == "gender+mine+own+words"
        assert united.words == (*gender.words, "Quebec", "Texan", "nurse")
        assert united.source == f"{gender.source}; {path}; user"
        assert united.licence == "Apache-2.0; unknown; MIT"

    def test_kinds_and_alternatives_stay(self):
        united = load_lexicon(["gender", "nationality", Lexicon("job", ("nurse", "pilot")), "Quebec", "she"])
        assert [united.kind(word) for word in ("she", "Dutch", "nurse", "Quebec")] == [
            "gender",
            "nationality",
            "job",
            "words",
        ]
        assert united.alternatives("she") == ("he",)
        assert united.alternatives("nurse") == ("pilot",)
        assert united.alternatives("Dutch") == load_lexicon("nationality").alternatives("Dutch")

    def test_an_entry_of_several_parts_is_exact_if_it_is_in_the_first(self):
        exact, loose = Lexicon("a", ("Ms", "Will"), exact=("Ms", "Will")), Lexicon("b", ("Ms", "May"), exact=("May",))
        assert load_lexicon([exact, loose]).exact == ("Ms", "Will", "May")
        assert load_lexicon([loose, exact]).exact == ("May", "Will")

    def test_exceptions_and_people_are_united_and_an_entry_is_no_exception(self):
        first = Lexicon("a", ("White",), exceptions=("White House", "White Sea"), members=(Members("w", ("White",)),))
        second = Lexicon("b", ("White House", "white"), members=(Members("w", ("white",)),))
        united = load_lexicon([first, second])
        assert united.exceptions == ("White Sea",)
        assert united.words_of("w") == ("White", "white")

    def test_an_iterator_of_words(self):
        assert load_lexicon(word.lower() for word in ("She", "HE")) == Lexicon("words", ("she", "he"))


class TestMisspeltName:
    def test_a_single_one_names_the_nearest(self):
        with pytest.raises(
            ValueError, match=r"no entry 'gendr'; available: age, gender, .*religion\. Did you mean 'gender'\? For"
        ):
            load_lexicon("gendr")

    def test_a_single_word_with_nothing_near(self):
        with pytest.raises(ValueError, match=r"no entry 'she'; available: .*religion\. For words of your own pass a"):
            load_lexicon("she")

    @pytest.mark.parametrize(
        ("items", "near"),
        [
            (["gendr", "nationality"], "gender"),
            (["gender", "nationalty", "nurse"], "nationality"),
            (["Gender"], "gender"),
            (["gendr", "nationalty"], "gender"),
            (["gender", "religions"], "religion"),
            (["gendr", Lexicon("own", ("Texan",))], "gender"),
        ],
    )
    def test_one_in_a_list_is_not_taken_for_a_word(self, items, near):
        with pytest.raises(ValueError, match=f"nearly the name of the lexicon '{near}'.*pass `Lexicon\\('words', "):
            load_lexicon(items)

    def test_a_word_beside_a_name_when_it_is_said_to_be_one(self):
        assert "genders" in load_lexicon(["gender", Lexicon("words", ("genders",))]).words

    @pytest.mark.parametrize("words", [("tender", "nurse"), ("page", "agent", "face"), ("nurse", "gender roles")])
    def test_a_list_of_words_may_hold_one_that_is_near_a_name(self, words):
        assert load_lexicon(words) == Lexicon("words", words)
