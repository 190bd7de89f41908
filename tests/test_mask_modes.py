"""What becomes of sensitive words in each mode, how often, and in which rows."""

import pickle
import re

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorForTokenClassification, DataCollatorWithFlattening, DataCollatorWithPadding
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference
from trl.trainer.reward_trainer import DataCollatorForPreference as DataCollatorForReward

from mitigate import BiasMaskCollator, BiasTagTokenizer, MaskConfig
from mitigate.batches import Text
from mitigate.lexicons import Group, Lexicon
from mitigate.masks import MaskSensitiveWords
from mitigate.provenance import Segment
from tests import tiny_tokenizers

WORDS = ["she", "sits", "he", "stands", "Dutch", "French", "here", "woman", "well", "now", "lady"]
PAD, EOS, MASK, UNK, SHE, SITS, HE, STANDS, DUTCH, FRENCH, HERE, WOMAN, WELL, NOW, LADY = range(15)
GROUPS = (
    Group("gender", "pronoun", ("she", "he")),
    Group("gender", "noun", ("woman",)),
    Group("nationality", "adjective", ("Dutch", "French")),
)
LEXICON = Lexicon("test", ("she", "he", "woman", "Dutch", "French"), groups=GROUPS)
MODES = ("placeholder", "kind", "swap", "loss", "attention")


@pytest.fixture
def tokenizer():
    tokenizer = tiny_tokenizers.word_level(WORDS)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|gender|>", "<|nationality|>"]})
    return tokenizer


def rows(*texts):
    """The texts as augmented rows, and the first of them as a real row."""
    return [{"input_ids": [*ids], "augmented": True} for ids in texts] + [
        {"input_ids": [*texts[0]], "augmented": False}
    ]


class TestModes:
    """Row 0 is augmented, row 1 is the same as a real row."""

    ids = (SHE, SITS, DUTCH, HERE)

    def collate(self, tokenizer, mode, **options):
        return BiasMaskCollator(tokenizer, LEXICON, mode=mode, **options)(rows(self.ids))

    @pytest.mark.parametrize("mode", MODES)
    def test_real_rows_stay(self, tokenizer, mode):
        batch = self.collate(tokenizer, mode)
        for field, expected in (("input_ids", [*self.ids]), ("labels", [*self.ids]), ("attention_mask", [1] * 4)):
            assert batch[field][1].tolist() == expected

    def test_placeholder(self, tokenizer):
        batch = self.collate(tokenizer, "placeholder")
        assert batch["input_ids"][0].tolist() == [MASK, SITS, MASK, HERE]
        assert batch["labels"][0].tolist() == [-100, SITS, -100, HERE]

    def test_kind(self, tokenizer):
        batch = self.collate(tokenizer, "kind")
        assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == [
            "<|gender|>",
            "sits",
            "<|nationality|>",
            "here",
        ]
        assert batch["labels"][0].tolist() == [-100, SITS, -100, HERE]

    def test_kind_with_tokens_of_ones_own(self, tokenizer):
        batch = self.collate(tokenizer, "kind", mask_token={"nationality": "now"})
        assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == ["<|gender|>", "sits", "now", "here"]

    def test_swap(self, tokenizer):
        batch = self.collate(tokenizer, "swap")
        assert batch["input_ids"][0].tolist() == [HE, SITS, FRENCH, HERE]
        assert batch["labels"][0].tolist() == [HE, SITS, FRENCH, HERE]

    def test_swap_of_classes_of_tokens_is_refused(self, tokenizer):
        collator = DataCollatorForTokenClassification(tokenizer)
        row = {"input_ids": [SHE, SITS], "labels": [1, 0], "augmented": True}
        with pytest.raises(ValueError, match="`labels` has 1 at a token that is swapped"):
            BiasMaskCollator(tokenizer, LEXICON, mode="swap", collator=collator)([row])
        batch = BiasMaskCollator(tokenizer, LEXICON, collator=collator)([row])
        assert batch["labels"].tolist() == [[-100, 0]]

    def test_loss(self, tokenizer):
        batch = self.collate(tokenizer, "loss")
        assert batch["input_ids"][0].tolist() == [*self.ids]
        assert batch["labels"][0].tolist() == [-100, SITS, -100, HERE]
        assert batch["attention_mask"][0].tolist() == [1, 1, 1, 1]

    def test_attention(self, tokenizer):
        batch = self.collate(tokenizer, "attention")
        assert batch["input_ids"][0].tolist() == [*self.ids]
        assert batch["labels"][0].tolist() == [-100, SITS, -100, HERE]
        assert batch["attention_mask"][0].tolist() == [0, 1, 0, 1]

    def test_attention_of_rows_that_bring_their_own(self, tokenizer):
        row = {"input_ids": [SHE, SITS, HE], "attention_mask": [1, 1, 1], "label": 1, "augmented": True}
        longer = {"input_ids": [SITS, HERE, WELL, HE], "attention_mask": [1, 1, 1, 1], "label": 0, "augmented": True}
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="attention", collator=DataCollatorWithPadding(tokenizer))
        assert collate([row, longer])["attention_mask"].tolist() == [[0, 1, 0, 0], [1, 1, 1, 0]]

    def test_the_model_reads_nothing_of_a_word_without_attention(self, tokenizer, model):
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="attention")
        batch = collate([{"input_ids": [HERE, word, SITS, NOW], "augmented": True} for word in (SHE, HE)])
        states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        torch.testing.assert_close(states[0, 2:], states[1, 2:])
        assert not torch.allclose(states[0, 1], states[1, 1])  # the limit that the docstring states

    def test_attention_is_refused_without_a_mask_of_attention(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="attention", collator=DataCollatorWithFlattening())
        with pytest.raises(ValueError, match="needs batches with an `attention_mask`"):
            collate(rows(self.ids))


class TestProbability:
    ids = [SHE, SITS, HE] * 100

    def draw(self, tokenizer, epoch=0, **options):
        collate = BiasMaskCollator(tokenizer, LEXICON, probability=0.3, **options)
        collate.epoch = epoch
        return (collate(rows(self.ids))["input_ids"][0] == MASK).tolist()

    def test_each_occurrence_is_drawn(self, tokenizer):
        masked = self.draw(tokenizer)
        assert not any(masked[1::3])
        assert 35 < sum(masked) < 85

    def test_draws_are_those_of_seed_epoch_and_text(self, tokenizer):
        assert self.draw(tokenizer) == self.draw(tokenizer)
        assert self.draw(tokenizer) != self.draw(tokenizer, epoch=1)
        assert self.draw(tokenizer) != self.draw(tokenizer, seed=1)

    @pytest.mark.parametrize(
        "options",
        [
            {"probability": 0.5},
            {"random_words": True},
            {"mode": "swap"},
            {"mode": "swap", "probability": 0.5},
            {"mode": "random"},
        ],
    )
    def test_any_number_of_workers_draws_the_same_and_anew_each_epoch(self, tokenizer, options):
        expected = self.epochs(tokenizer, options)
        assert expected[0] != expected[1] != expected[2]
        for loading in (
            {"num_workers": 1, "multiprocessing_context": "fork"},
            {"num_workers": 2, "multiprocessing_context": "fork"},
            {"num_workers": 2, "multiprocessing_context": "fork", "persistent_workers": True},
        ):
            assert self.epochs(tokenizer, options, **loading) == expected

    @pytest.mark.slow
    def test_the_epoch_reaches_workers_that_are_spawned_and_persist(self, tokenizer):
        options = {"probability": 0.5}
        loading = {"num_workers": 1, "multiprocessing_context": "spawn", "persistent_workers": True}
        assert self.epochs(tokenizer, options, **loading) == self.epochs(tokenizer, options)

    def epochs(self, tokenizer, options, **loading):
        """The texts of three epochs, as they are after masking."""
        lexicon = Lexicon("all", ("she", "he", "woman", "lady", "Dutch"))
        collate = BiasMaskCollator(tokenizer, lexicon, **options)
        texts = [[SHE, SITS, HE, *[WELL] * i, NOW, HERE, DUTCH] for i in range(12)]
        data = [{"input_ids": ids, "augmented": True} for ids in texts]
        loader = DataLoader(data, 1, collate_fn=collate, **loading)
        seen = []
        for collate.epoch in range(3):
            seen.append([batch["input_ids"].tolist() for batch in loader])
        return seen

    def test_pickled_collators_draw_the_same(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="swap", probability=0.5)
        first = collate(rows(self.ids))
        assert torch.equal(pickle.loads(pickle.dumps(collate))(rows(self.ids))["input_ids"], first["input_ids"])


class TestRandomWords:
    def test_masks_as_many_other_words(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, random_words=True)
        ids = [SHE, SITS, WELL, DUTCH, HERE, NOW, STANDS]
        drawn = set()
        for epoch in range(40):
            collate.epoch = epoch
            masked = (collate(rows(ids))["input_ids"][0] == MASK).nonzero().flatten().tolist()
            assert len(masked) == 2
            drawn.update(masked)
        assert drawn == {1, 2, 4, 5, 6}
        assert collate.masked_words == 80

    def test_only_where_sensitive_words_are(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, random_words=True)
        assert collate(rows([SITS, HERE]))["input_ids"][0].tolist() == [SITS, HERE]

    def test_never_sensitive_ones_even_if_none_else_is_left(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, random_words=True)
        assert collate(rows([SHE, HE, WELL, EOS]))["input_ids"][0].tolist() == [SHE, HE, MASK, EOS]

    def test_never_sensitive_ones_that_were_not_drawn(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, random_words=True, probability=0.5)
        masked = [collate(rows([SHE, HE, WELL, *[NOW] * i]))["input_ids"][0] for i in range(20)]
        assert all(ids[:2].tolist() == [SHE, HE] for ids in masked)
        assert {int((ids == MASK).sum()) for ids in masked} == {0, 1, 2}

    @pytest.mark.parametrize("build", tiny_tokenizers.KINDS.values(), ids=tiny_tokenizers.KINDS)
    def test_whole_words(self, build):
        tokenizer = build()
        text = "she hears grandmothers. naïve! café"
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        collate = BiasMaskCollator(tokenizer, ["she"], random_words=True)
        words = [match.span() for match in re.finditer(r"\w+", text)][1:]
        drawn = set()
        for epoch in range(30):
            collate.epoch = epoch
            batch = collate([{"input_ids": encoding.input_ids, "augmented": True}])
            masked = (batch["input_ids"][0] == tokenizer.mask_token_id).tolist()
            (hit,) = [
                [a < stop and b > start for a, b in encoding.offset_mapping]
                for start, stop in words
                if any(m for m, (a, b) in zip(masked, encoding.offset_mapping, strict=True) if a < stop and b > start)
            ]
            assert masked == hit
            drawn.add(hit.index(True))
        assert len(drawn) == len(words)

    def test_kinds_are_those_of_the_words_in_whose_stead_they_are(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, LEXICON, mode="kind", random_words=True)
        tokens = tokenizer.convert_ids_to_tokens(collate(rows([SHE, SITS, DUTCH, HERE]))["input_ids"][0])
        assert tokens == ["she", "<|gender|>", "Dutch", "<|nationality|>"]


class TestHiddenMarks:
    @pytest.mark.parametrize("hidden", [True, False])
    def test_the_collator_alone_reads_a_tagging_tokenizer(self, tokenizer, hidden):
        tagging = BiasTagTokenizer.wrap(tokenizer, hidden=hidden)
        ids = tagging(f"{tagging.augmented_tag} she sits")["input_ids"]
        batch = BiasMaskCollator(tagging, LEXICON)(
            [{"input_ids": ids}, {"input_ids": tagging("she sits")["input_ids"]}]
        )
        tag = [] if hidden else [tagging.augmented_tag_id]
        assert batch["input_ids"][0].tolist() == [*tag, MASK, SITS]
        assert batch["labels"][0].tolist() == [*([-100] * len(tag)), -100, SITS]
        assert batch["input_ids"][1, :2].tolist() == [SHE, SITS]


class TestPreferences:
    """With the collators of TRL. The first row is augmented, the second is the same and real."""

    def test_dpo(self, tokenizer):
        row = {"prompt_ids": [SHE, SITS], "chosen_ids": [HE, EOS], "rejected_ids": [WELL, DUTCH, EOS]}
        batch = self.collate(tokenizer, DataCollatorForPreference(PAD), row)
        assert batch["input_ids"].tolist() == [
            [MASK, SITS, MASK, EOS, PAD],
            [SHE, SITS, HE, EOS, PAD],
            [MASK, SITS, WELL, MASK, EOS],
            [SHE, SITS, WELL, DUTCH, EOS],
        ]
        assert batch["completion_mask"].tolist() == [
            [0, 0, 0, 1, 0],
            [0, 0, 1, 1, 0],
            [0, 0, 1, 0, 1],
            [0, 0, 1, 1, 1],
        ]

    def test_kto(self, tokenizer):
        row = {"prompt_ids": [SHE, SITS], "completion_ids": [HE, EOS], "label": True}
        batch = self.collate(tokenizer, DataCollatorForUnpairedPreference(PAD), row)
        assert batch["input_ids"].tolist() == [[MASK, SITS, MASK, EOS], [SHE, SITS, HE, EOS]]
        assert batch["completion_mask"].tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]

    def test_reward(self, tokenizer):
        row = {"chosen_ids": [SHE, SITS], "rejected_ids": [HERE, HE]}
        batch = self.collate(tokenizer, DataCollatorForReward(PAD), row)
        assert batch["input_ids"].tolist() == [[MASK, SITS], [SHE, SITS], [HERE, MASK], [HERE, HE]]

    def test_swap_in_dpo_changes_lengths_and_stays_in_the_loss(self):
        tokenizer = tiny_tokenizers.byte_level_bpe()
        lexicon = Lexicon("kin", ("he", "the great-grandmother"))
        row = {
            "prompt_ids": tokenizer("today he").input_ids,
            "chosen_ids": tokenizer(" said he").input_ids,
            "rejected_ids": tokenizer(" said").input_ids,
        }
        batch = self.collate(tokenizer, DataCollatorForPreference(tokenizer.pad_token_id), row, lexicon, mode="swap")
        present, answer = batch["attention_mask"].bool(), batch["completion_mask"].bool()
        texts = [tokenizer.decode(ids[mask]) for ids, mask in zip(batch["input_ids"], present, strict=True)]
        one, other = "today he said he", "today the great-grandmother said the great-grandmother"
        assert texts == [other, one, "today the great-grandmother said", "today he said"]
        answers = [tokenizer.decode(ids[mask]) for ids, mask in zip(batch["input_ids"], answer, strict=True)]
        assert answers == [" said the great-grandmother", " said he", " said", " said"]

    def test_attention_in_dpo(self, tokenizer):
        row = {"prompt_ids": [SHE, SITS], "chosen_ids": [HE, EOS], "rejected_ids": [WELL, DUTCH]}
        batch = self.collate(tokenizer, DataCollatorForPreference(PAD), row, mode="attention")
        assert batch["attention_mask"].tolist() == [[0, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]]
        assert batch["completion_mask"].tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1]]

    def collate(self, tokenizer, collator, row, lexicon=LEXICON, **options):
        collate = BiasMaskCollator(tokenizer, lexicon, collator=collator, **options)
        return collate([{**row, "augmented": True}, {**row, "augmented": False}])


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"mode": "hide"}, "`mode` of masking must be one of 'placeholder', 'kind', .*, got 'hide'"),
            ({"probability": 0}, r"`probability` of masking must lie in \(0, 1\], got 0"),
            ({"probability": 1.5}, r"`probability` of masking must lie in \(0, 1\], got 1.5"),
            ({"mode": "swap", "random_words": True}, "`random_words=True` does not go with `mode='swap'`"),
            ({"mode": "swap", "lexicon": ["women"]}, "`mode='swap'` would change no word of the kind 'words': lex"),
            ({"mode": "swap", "lexicon": "gender-es"}, "kind 'gender': .* as in Arabic, Spanish and Portuguese, "),
            (
                {"mode": "random", "lexicon": ["gender-ar", "nationality-ar"]},
                r"`mode='random'` would change no word of the kind 'gender': lexicon 'gender-ar\+nation",
            ),
            ({"mode": "random", "random_words": True}, "`random_words=True` does not go with `mode='random'`"),
            ({"mode": "swap", "lexicon": lambda text: []}, "`mode='swap'` needs a lexicon"),
            (
                {"mode": "loss", "mask_token": "<mask>"},
                "`mask_token` must be .* left out with other modes; got '<mask>'",
            ),
            ({"mode": "kind", "mask_token": "<mask>"}, "`mask_token` must be .* a mapping from kinds to tokens"),
            ({"mask_token": {"gender": "<mask>"}}, "`mask_token` must be one token with `mode='placeholder'`"),
            ({"mode": "kind", "mask_token": {"gendr": "x"}}, "`mask_token` names the kind 'gendr', and .* gender: "),
            ({"mode": "kind", "lexicon": lambda text: []}, "`mode='kind'` needs to know the kinds that the finder"),
            ({"lexicon": "gendr"}, "`lexicon` has no entry 'gendr'"),
        ],
    )
    def test_settings(self, options, message):
        with pytest.raises(ValueError, match=message):
            MaskConfig(**options)

    def test_missing_tokens_of_kinds_and_the_remedy(self):
        tokenizer = tiny_tokenizers.word_level(WORDS)
        with pytest.raises(ValueError, match=r"the vocabulary lacks <\|gender\|>, <\|nationality\|>") as caught:
            BiasMaskCollator(tokenizer, LEXICON, mode="kind")
        remedy = re.search(r"`(tokenizer\.add_special_tokens.*?\))`", str(caught.value))[1]
        eval(remedy, {"tokenizer": tokenizer})
        batch = BiasMaskCollator(tokenizer, LEXICON, mode="kind")(rows([SHE, SITS]))
        assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == ["<|gender|>", "sits"]


def test_segments_of_a_packed_row_are_drawn_for_by_themselves(tokenizer):
    step = MaskSensitiveWords(tokenizer, MaskConfig(LEXICON, probability=0.5))
    ids = [SHE, SITS, HE, DUTCH, SHE, HE]
    alone = Text("input_ids", ids, [Segment(0, 6, True)], True, {})
    packed = Text("input_ids", [HE, *ids], [Segment(0, 1, False), Segment(1, 7, True)], True, {})
    edits, shifted = step.edits([alone, packed], epoch=3)
    assert 0 < len(edits) < 5
    assert [edit._replace(start=edit.start + 1, stop=edit.stop + 1) for edit in edits] == shifted
