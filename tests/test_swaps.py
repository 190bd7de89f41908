"""Sensitive words that are replaced by others."""

import re
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import DataCollatorForSeq2Seq, PreTrainedTokenizerFast
from trl.trainer.dpo_trainer import DataCollatorForPreference

from mitigate import BiasMaskCollator
from mitigate.lexicons import Group, Lexicon, Members, load_lexicon
from mitigate.twins import in_case_of
from tests import tiny_tokenizers

WORDS = ["she", "sits", "he", "woman", "lady"]
PAD, EOS, MASK, UNK, SHE, SITS, HE, WOMAN, LADY = range(9)
LEXICON = Lexicon("test", ("she", "he", "woman"), groups=(Group("g", "a", ("she", "he")), Group("g", "b", ("woman",))))


def glued_byte_level():
    """As Llama 3 and Qwen: a mark of punctuation may be in one token with the word after it."""
    tokenizer = Tokenizer(models.BPE())
    cut = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(cut, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<pad>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["(she “she -she ’she (he her him", "South Korea United States"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", mask_token="<mask>")


TOKENIZERS = {
    "byte level, punctuation glued to words": glued_byte_level,
    **tiny_tokenizers.KINDS,
}
PAIRS = Lexicon(
    "pairs",
    ("she", "he", "her", "him", "South Korea", "Türkiye", "United States", "Papua New Guinea"),
    groups=(
        Group("gender", "subject", ("she", "he")),
        Group("gender", "object", ("her", "him")),
        Group("nationality", "a", ("South Korea", "Türkiye")),
        Group("nationality", "b", ("United States", "Papua New Guinea")),
    ),
)


def plain_swap(text):
    """Do the same to text."""
    words = "|".join(
        f"{word}|{word.upper()}" for word in sorted(PAIRS.words, key=len, reverse=True) if word[0].isupper()
    )
    regex = re.compile(rf"(?<![^\W_])(?:{words}|(?i:she|he|her|him))(?![^\W_])")
    entries = {word.lower(): word for word in PAIRS.words}

    def other(match):
        entry = entries[match[0].lower()]
        (swapped,) = PAIRS.alternatives(entry)
        if match[0] == entry:
            return swapped
        return swapped.upper() if match[0].isupper() else swapped.capitalize()

    return regex.subn(other, text)


@pytest.fixture
def tokenizer():
    return tiny_tokenizers.word_level(WORDS)


def collate_one(collate, ids):
    return collate([{"input_ids": ids, "augmented": True}])


class TestSwap:
    @pytest.mark.parametrize("build", TOKENIZERS.values(), ids=TOKENIZERS)
    @settings(max_examples=60, deadline=None)
    @given(words=st.lists(st.sampled_from(
        ["she", "He", "SHE", "shell", "the", "(he)", "“she”", "her.", "hat,", "Her", "said", "South Korea", "she's",
         "Türkiye", "TÜRKIYE", "turkey", "café", "United States", "UNITED STATES", "United", "him-she", "there\nhe"]
    ), min_size=1, max_size=8))  # fmt: skip
    def test_is_what_replacing_in_plain_text_gives(self, build, words):
        tokenizer = build()
        if build().decode(build()("a\na").input_ids) != "a\na":
            words = [word.replace("\n", " ") for word in words]
        text = " ".join(words)
        swapped, count = plain_swap(text)
        collate = BiasMaskCollator(tokenizer, PAIRS, mode="swap")
        ids = tokenizer(text, add_special_tokens=False).input_ids
        expected = tokenizer(swapped, add_special_tokens=False).input_ids
        assume(tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids + expected)
        batch = collate([{"input_ids": ids, "augmented": True}])
        assert tokenizer.decode(batch["input_ids"][0]) == tokenizer.decode(expected)
        assert (collate.masked_words > 0) == (count > 0)
        assert batch["labels"].tolist() == batch["input_ids"].tolist()

    @pytest.mark.parametrize(
        ("word", "entry", "other", "expected"),
        [
            ("she", "she", "he", "he"),
            ("She", "she", "he", "He"),
            ("SHE", "she", "he", "HE"),
            ("Mr", "mr", "Ms", "Ms"),
            ("Dutch", "Dutch", "French", "French"),
            ("DUTCH", "Dutch", "French", "FRENCH"),
            ("US", "US", "France", "France"),
            ("New\nZealand", "New Zealand", "France", "France"),
        ],
    )
    def test_case(self, word, entry, other, expected):
        assert in_case_of(word, entry, other) == expected

    def test_other_words_come_in_turn_at_random(self, tokenizer):
        lexicon = Lexicon("all", ("she", "he", "woman", "lady"))
        collate = BiasMaskCollator(tokenizer, lexicon, mode="swap")
        drawn = Counter(collate_one(collate, [SHE, *[SITS] * i])["input_ids"][0, 0].item() for i in range(300))
        assert set(drawn) == {HE, WOMAN, LADY}
        assert min(drawn.values()) > 60

    def test_the_same_word_always_becomes_the_same_other_one_of_a_text(self, tokenizer):
        lexicon = Lexicon("all", ("she", "he", "woman", "lady"))
        collate = BiasMaskCollator(tokenizer, lexicon, mode="swap")
        for i in range(20):
            ids = collate_one(collate, [SHE, HE, SHE, SITS, HE, SHE, *[SITS] * i])["input_ids"][0].tolist()
            assert ids[0] == ids[2] == ids[5] != SHE and ids[1] == ids[4] != HE

    def test_a_text_is_swapped_as_a_whole_or_not_at_all(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="swap", probability=0.5)
        ids = [SHE, SITS, HE, SHE, HE]
        drawn = Counter()
        for epoch in range(200):
            collate.epoch = epoch
            drawn.update([tuple(collate_one(collate, ids)["input_ids"][0].tolist())])
        assert set(drawn) == {tuple(ids), (HE, SITS, SHE, HE, SHE)}
        assert 70 < drawn[tuple(ids)] < 130

    def test_a_prompt_and_its_answers_are_swapped_alike(self, tokenizer):
        lexicon = Lexicon("all", ("she", "he", "woman", "lady"))
        collator = DataCollatorForPreference(PAD)
        collate = BiasMaskCollator(tokenizer, lexicon, mode="swap", probability=0.5, collator=collator)
        row = {"prompt_ids": [SHE, SITS], "chosen_ids": [SHE, EOS], "rejected_ids": [SITS, SHE], "augmented": True}
        drawn = set()
        for epoch in range(40):
            collate.epoch = epoch
            chosen, rejected = collate([row])["input_ids"].tolist()
            assert chosen == [chosen[0], SITS, chosen[0], EOS] and rejected == [chosen[0], SITS, SITS, chosen[0]]
            drawn.add(chosen[0])
        assert drawn == {SHE, HE, WOMAN, LADY}

    def test_a_word_becomes_one_that_tells_of_other_people(self, tokenizer):
        members = (Members("female", ("she", "woman", "lady")), Members("male", ("he",)))
        lexicon = Lexicon("all", ("she", "he", "woman", "lady"), members=members)
        collate = BiasMaskCollator(tokenizer, lexicon, mode="swap")
        texts = [collate_one(collate, [SHE, HE, *[SITS] * i])["input_ids"][0, :2].tolist() for i in range(40)]
        assert {tuple(text) for text in texts} == {(HE, SHE), (HE, WOMAN), (HE, LADY)}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("She sold her car and saw her.", "He sold his car and saw him."),
            ("He sold his car; the book is his.", "She sold her car; the book is hers."),
            ("HER car, Her", "HIS car, Him"),
        ],
    )
    @pytest.mark.parametrize("build", [tiny_tokenizers.byte_level_bpe, tiny_tokenizers.metaspace_bpe])
    def test_her_and_his_are_swapped_by_their_role(self, build, text, expected):
        tokenizer = build()
        batch = collate_one(BiasMaskCollator(tokenizer, "gender", mode="swap"), tokenizer(text).input_ids)
        assert tokenizer.decode(batch["input_ids"][0]).strip() == expected

    def test_names_keep_their_origin_and_change_sex(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        names = load_lexicon("names")
        collate = BiasMaskCollator(tokenizer, ["gender", "names"], mode="swap")
        for name in ("Keiko", "Fatima", "Mary", "Ahmed"):
            ids = tokenizer(f"So {name} and she, {name}!").input_ids
            words = re.findall(r"\w+", tokenizer.decode(collate_one(collate, ids)["input_ids"][0]))
            assert words[1] == words[4] and words[3] == "he"
            sex, *origin = names.people(name)
            assert names.people(words[1]) == ("male" if sex == "female" else "female", *origin)

    def test_a_word_without_other_words_stays(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="swap")
        assert collate_one(collate, [WOMAN, SITS])["labels"][0].tolist() == [WOMAN, SITS]
        assert collate.masked_words == 0

    def test_a_word_that_the_tokenizer_cannot_write_is_not_drawn(self, tokenizer):
        lexicon = Lexicon("gentry", ("she", "baroness", "lady", "duchess"))
        collate = BiasMaskCollator(tokenizer, lexicon, mode="swap")
        drawn = {collate_one(collate, [SHE, *[SITS] * i])["input_ids"][0, 0].item() for i in range(20)}
        assert drawn == {LADY}

    def test_random_ones_are_as_likely_as_the_word_itself(self, tokenizer):
        lexicon = Lexicon("all", ("she", "he", "woman"))
        collate = BiasMaskCollator(tokenizer, lexicon, mode="random")
        texts = [collate_one(collate, [SHE, SITS, SHE, *[SITS] * i])["input_ids"][0].tolist() for i in range(300)]
        drawn = Counter(text[0] for text in texts)
        assert set(drawn) == {SHE, HE, WOMAN}
        assert min(drawn.values()) > 70
        assert all(text[0] == text[2] for text in texts)

    def test_lengths_change_in_step(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        lexicon = Lexicon("kin", ("he", "the great-grandmother"))
        ids = tokenizer("today he said").input_ids
        row = {"input_ids": ids, "labels": [-100, *ids[1:]], "augmented": True}
        collate = BiasMaskCollator(tokenizer, lexicon, mode="swap", collator=DataCollatorForSeq2Seq(tokenizer))
        batch = collate([row])
        assert tokenizer.decode(batch["input_ids"][0]) == "today the great-grandmother said"
        assert batch["input_ids"].shape[1] > len(ids)
        assert batch["labels"][0].tolist() == [-100, *batch["input_ids"][0, 1:].tolist()]

    def test_prompts_stay_out_of_the_loss(self, tokenizer):
        row = {"input_ids": [SHE, SITS, HE], "labels": [-100, -100, HE], "augmented": True}
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="swap", collator=DataCollatorForSeq2Seq(tokenizer))
        batch = collate([row])
        assert batch["input_ids"].tolist() == [[HE, SITS, SHE]]
        assert batch["labels"].tolist() == [[-100, -100, SHE]]
