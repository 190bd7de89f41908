"""Finders of one's own: functions of text, and spaCy pipelines."""

import pickle
import re
import sys

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate import BiasMaskCollator, MaskConfig
from mitigate.words import SpacyFinder, TextFinder
from tests import tiny_tokenizers

BUILDS = [
    tiny_tokenizers.byte_level_bpe,
    tiny_tokenizers.metaspace_bpe,
    tiny_tokenizers.metaspace_unigram,
    tiny_tokenizers.word_piece,
]


def find_she(text):
    return [(*match.span(), "gender") for match in re.finditer(r"\bshe\b", text)]


class Calls:
    """A finder that keeps what it is asked."""

    def __init__(self, finder=find_she):
        self.finder, self.texts = finder, []

    def __call__(self, text):
        self.texts.append(text)
        return self.finder(text)


def blank_pipeline():
    nlp = spacy.blank("en")
    names = [("PERSON", "Mary"), ("NORP", "South Korean"), ("GPE", "Paris")]
    nlp.add_pipe("entity_ruler").add_patterns([{"label": label, "pattern": name} for label, name in names])
    return nlp


def masked(tokenizer, collate, text):
    """The text with a mark for each run of placeholders."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    batch = collate([{"input_ids": ids, "augmented": True}])
    return re.sub(r"( ?<mask>)+", " <mask>", tokenizer.decode(batch["input_ids"][0]))


class TestFunctions:
    @pytest.mark.parametrize("build", BUILDS)
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from(["she", "said", "“she”", "café", "🙂", "São", "shell", "(she,", "的"]), min_size=1)
    )
    def test_every_token_of_a_word_and_nothing_else(self, build, words):
        tokenizer = build()
        text = " ".join(words)
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = [match.span() for match in re.finditer(r"\bshe\b", text)]
        hit = [any(a < stop and b > start for start, stop in spans) for a, b in encoding.offset_mapping]
        batch = BiasMaskCollator(tokenizer, find_she)([{"input_ids": encoding.input_ids, "augmented": True}])
        changed = [
            new == tokenizer.mask_token_id and new != old
            for new, old in zip(batch["input_ids"][0].tolist(), encoding.input_ids, strict=True)
        ]
        assert changed == hit

    def test_is_asked_once_for_a_text(self):
        tokenizer, finder = tiny_tokenizers.byte_level_bpe(), Calls()
        collate = BiasMaskCollator(tokenizer, finder)
        for _ in range(3):
            assert masked(tokenizer, collate, "there she said") == "there <mask> said"
        assert finder.texts == ["there she said"]

    def test_is_asked_of_augmented_rows_only_and_reads_special_tokens_as_line_breaks(self):
        tokenizer, finder = tiny_tokenizers.byte_level_bpe(), Calls()
        rows = [
            {"input_ids": tokenizer(text).input_ids, "augmented": text.startswith("she")}
            for text in ("she said<eos>café", "he said")
        ]
        BiasMaskCollator(tokenizer, finder)(rows)
        assert finder.texts == ["she said\ncafé"]

    def test_overlapping_words_are_one(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        collate = BiasMaskCollator(tokenizer, lambda text: [(4, 9, "b"), (0, 7, "a"), (0, 3, "a")])
        masked(tokenizer, collate, "she said there")
        assert collate.masked_words == 1

    def test_kinds_have_tokens_of_their_own(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        tokenizer.add_special_tokens({"extra_special_tokens": ["<|gender|>"]})
        collate = BiasMaskCollator(tokenizer, find_she, mode="kind", mask_token={"gender": "<|gender|>"})
        assert masked(tokenizer, collate, "she said") == "<|gender|> said"

    def test_a_kind_without_token_is_refused(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        collate = BiasMaskCollator(tokenizer, lambda text: [(0, 3, "age")], mode="kind", mask_token={"g": "<mask>"})
        with pytest.raises(ValueError, match="The finder gave a word of the kind 'age', for which `mask_token`"):
            masked(tokenizer, collate, "she said")

    @pytest.mark.parametrize(
        "span", [(0, 3), (0, 99, "a"), (3, 3, "a"), (-1, 2, "a"), (0, 3, 1), "abc", ("0", 1, "a")]
    )
    def test_anything_but_spans_is_refused(self, span):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        message = re.escape(f"The finder gave {span!r} for a text of 8 characters; it must give (first character")
        with pytest.raises(ValueError, match=message):
            masked(tokenizer, BiasMaskCollator(tokenizer, lambda text: [span]), "she said")

    def test_remembers_so_many_texts(self, monkeypatch):
        monkeypatch.setattr("mitigate.words.finders._REMEMBERED", 2)
        tokenizer, finder = tiny_tokenizers.byte_level_bpe(), Calls()
        find = TextFinder(tokenizer, finder).find_all
        a, b, c = (tokenizer(text).input_ids for text in "abc")
        find([a, b, a, c, a, b])
        assert finder.texts == ["a", "b", "c", "b"]


class TestSpacy:
    def test_takes_the_labels_that_are_named(self):
        text = "Mary saw South Korean art in Paris"
        assert SpacyFinder(blank_pipeline())(text) == [(0, 4, "gender"), (9, 21, "nationality")]
        assert SpacyFinder(blank_pipeline(), {"GPE": "place"})(text) == [(29, 34, "place")]

    @pytest.mark.parametrize("build", BUILDS)
    def test_masks(self, build):
        tokenizer = build()
        collate = BiasMaskCollator(tokenizer, SpacyFinder(blank_pipeline()))
        assert masked(tokenizer, collate, "the hat Mary said").strip() == "the hat <mask> said"

    def test_loads_a_pipeline_by_its_path(self, tmp_path):
        blank_pipeline().to_disk(tmp_path / "nlp")
        assert SpacyFinder(str(tmp_path / "nlp"))("Mary") == [(0, 4, "gender")]

    def test_can_be_pickled_for_the_workers_of_a_data_loader(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        collate = pickle.loads(pickle.dumps(BiasMaskCollator(tokenizer, SpacyFinder(blank_pipeline()))))
        assert masked(tokenizer, collate, "so Mary said") == "so <mask> said"

    def test_tells_how_to_install_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "spacy", None)
        with pytest.raises(ImportError, match=r"needs spaCy, which is not installed: `pip install mitigate\[ner\]`"):
            SpacyFinder("en_core_web_sm")

    def test_no_label_is_refused(self):
        with pytest.raises(ValueError, match="`labels` is empty"):
            SpacyFinder(blank_pipeline(), {})

    def test_its_kinds_are_known(self):
        tokens = MaskConfig(SpacyFinder(blank_pipeline()), mode="kind").kind_tokens()
        assert tokens == {"gender": "<|gender|>", "nationality": "<|nationality|>"}
