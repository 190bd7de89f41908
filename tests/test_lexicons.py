from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from mitigate.lexicons import Lexicon, available_lexicons, load_lexicon


def test_available_lexicons():
    assert available_lexicons() == ["gender", "nationality"]


@pytest.mark.parametrize("name", ["gender", "nationality"])
def test_a_shipped_lexicon_names_its_source_and_licence(name):
    lexicon = load_lexicon(name)
    assert (lexicon.name, lexicon.source) == (name, "compiled by the mitigate authors")
    assert lexicon.licence == "Apache-2.0"


@pytest.mark.parametrize("name", ["gender", "nationality"])
def test_a_shipped_file_has_a_header_and_no_entry_twice(name):
    file = Path(load_lexicon.__code__.co_filename).parent / f"{name}.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    assert "# Source: compiled by the mitigate authors." in lines[:4]
    assert "# Licence: Apache-2.0." in lines[:4]
    entries = [line for line in lines if not line.startswith("#")]
    assert len({entry.lower() for entry in entries}) == len(entries)
    assert tuple(entries) == load_lexicon(name).words


def test_gender_holds_each_pronoun_and_leaves_out_words_with_another_sense():
    words = set(load_lexicon("gender").words)
    assert {"he", "him", "his", "himself", "she", "her", "hers", "herself"} <= words
    assert {"mr", "mrs", "Ms", "mother", "fathers", "actress", "niece"} <= words
    assert not {"miss", "ms", "host", "master", "they", "it"} & words


def test_nationality_holds_names_and_demonyms_with_capitals_only():
    words = load_lexicon("nationality").words
    assert {"China", "Chinese", "Côte d'Ivoire", "South Korea", "Papua New Guinea", "US", "Filipinas"} <= set(words)
    assert [word for word in words if word == word.lower()] == []


def test_a_lexicon_is_returned_as_it_is():
    lexicon = Lexicon("mine", ("she",))
    assert load_lexicon(lexicon) is lexicon


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_read_by_lines_without_comments_and_blanks(tmp_path, kind):
    path = tmp_path / "mine.txt"
    path.write_text("# my words\n\n  she \nSouth   Korea\nTürkiye\nshe\n", encoding="utf-8")
    assert load_lexicon(kind(path)) == Lexicon("mine", ("she", "South Korea", "Türkiye"), source=str(path))


def test_words_names_paths_and_lexicons_are_united(tmp_path):
    path = tmp_path / "extra.txt"
    path.write_text("Quebec\n", encoding="utf-8")
    united = load_lexicon(["she", "gender", path, Lexicon("mine", ("Texan",), licence="MIT"), "nurse"])
    gender = load_lexicon("gender")
    assert united.name == "gender+extra+mine+words"
    assert united.words == (*gender.words, "Quebec", "Texan", "nurse")
    assert united.source == f"{gender.source}; {path}; user"
    assert united.licence == "Apache-2.0; unknown; MIT"


def test_an_iterator_of_words():
    assert load_lexicon(word.lower() for word in ("She", "HE")) == Lexicon("words", ("she", "he"))


def test_a_lexicon_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Lexicon("mine", ("she",)).words = ("he",)


def test_an_unknown_name_names_the_nearest():
    message = r"`lexicon` has no entry 'gendr'; available: gender, nationality\. Did you mean 'gender'\? For words of"
    with pytest.raises(ValueError, match=message):
        load_lexicon("gendr")


def test_an_unknown_name_with_nothing_near():
    with pytest.raises(
        ValueError, match=r"no entry 'she'; available: gender, nationality\. For words of your own pass a"
    ):
        load_lexicon("she")


@pytest.mark.parametrize("build", [lambda: load_lexicon([]), lambda: Lexicon("words", ())])
def test_an_empty_lexicon_is_refused(build):
    with pytest.raises(ValueError, match=r"Lexicon 'words' is empty: it needs at least one word\."):
        build()


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="Lexicon 'mine' is empty"):
        load_lexicon(tmp_path / "mine.txt")


def test_a_blank_entry_is_refused():
    with pytest.raises(ValueError, match=r"Lexicon 'words' has a blank entry\. Take it out\."):
        load_lexicon(["she", "  "])


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        load_lexicon("nowhere.txt")
