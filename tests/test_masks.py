import pickle

import pytest
import torch
from transformers import DataCollatorForSeq2Seq, DataCollatorWithPadding

from mitigate.lexicons import Lexicon
from mitigate.masks import BiasMaskCollator, MaskConfig
from mitigate.masks.config import mask_token_ids
from mitigate.provenance import ProvenanceError
from mitigate.warnings import NoEffectWarning
from tests import tiny_tokenizers

WORDS = ["she", "sits", "he", "stands", "United", "States", "here", "<tag>"]
PAD, EOS, MASK, UNK, SHE, SITS, HE, STANDS, UNITED, STATES, HERE, TAG = range(12)
LEXICON = Lexicon("test", ("she", "he", "United States"))


@pytest.fixture
def tokenizer():
    return tiny_tokenizers.word_level(WORDS)


def rows():
    return [
        {"input_ids": [SHE, SITS, UNITED, STATES], "augmented": True},
        {"input_ids": [HE, STANDS, HERE], "augmented": True},
        {"input_ids": [SHE, STANDS, UNITED, STATES], "augmented": False},
    ]


def assert_batch(batch, expected):
    assert set(batch) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(batch[key], torch.tensor(value))


def test_masks_augmented_rows_only(tokenizer):
    collate = BiasMaskCollator(tokenizer, LEXICON)
    assert_batch(
        collate(rows()),
        {
            "input_ids": [[MASK, SITS, MASK, MASK], [MASK, STANDS, HERE, PAD], [SHE, STANDS, UNITED, STATES]],
            "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]],
            "labels": [[-100, SITS, -100, -100], [-100, STANDS, HERE, -100], [SHE, STANDS, UNITED, STATES]],
        },
    )
    assert collate.masked_words == 3


def test_leaves_the_rows_of_the_data_set_alone(tokenizer):
    given = rows()
    BiasMaskCollator(tokenizer, LEXICON)(given)
    assert given == rows()


def test_keeps_the_labels_of_another_collator(tokenizer):
    collate = BiasMaskCollator(tokenizer, LEXICON, collator=DataCollatorForSeq2Seq(tokenizer))
    row = {"input_ids": [HERE, SHE, SITS, HE], "labels": [-100, -100, SITS, HE], "augmented": True}
    assert_batch(
        collate([row]),
        {
            "input_ids": [[HERE, MASK, SITS, MASK]],
            "attention_mask": [[1, 1, 1, 1]],
            "labels": [[-100, -100, SITS, -100]],
        },
    )


def test_keeps_class_labels(tokenizer):
    collate = BiasMaskCollator(tokenizer, LEXICON, collator=DataCollatorWithPadding(tokenizer))
    batch = collate([{"input_ids": [SHE, SITS], "label": 1, "augmented": True}])
    assert_batch(batch, {"input_ids": [[MASK, SITS]], "attention_mask": [[1, 1]], "labels": [1]})


def test_rows_of_tensors(tokenizer):
    row = {"input_ids": torch.tensor([SHE, SITS]), "attention_mask": torch.tensor([1, 1]), "augmented": True}
    batch = BiasMaskCollator(tokenizer, LEXICON)([row])
    assert_batch(batch, {"input_ids": [[MASK, SITS]], "attention_mask": [[1, 1]], "labels": [[-100, SITS]]})


def test_another_column_and_placeholder(tokenizer):
    collate = BiasMaskCollator(tokenizer, LEXICON, column="synthetic", mask_token="here")
    batch = collate([{"input_ids": [SHE, SITS], "synthetic": 1}, {"input_ids": [SHE, SITS], "synthetic": 0}])
    torch.testing.assert_close(batch["input_ids"], torch.tensor([[HERE, SITS], [SHE, SITS]]))
    torch.testing.assert_close(batch["labels"], torch.tensor([[-100, SITS], [SHE, SITS]]))


def test_tags_tell_augmented_rows_where_the_column_is_gone(tokenizer):
    collate = BiasMaskCollator(tokenizer, LEXICON, tag_ids=[TAG])
    batch = collate([{"input_ids": [TAG, SHE, SITS]}, {"input_ids": [SHE, SITS, HERE]}])
    torch.testing.assert_close(batch["input_ids"], torch.tensor([[TAG, MASK, SITS], [SHE, SITS, HERE]]))
    torch.testing.assert_close(batch["labels"], torch.tensor([[-100, -100, SITS], [SHE, SITS, HERE]]))


def test_a_word_lies_within_one_segment_of_a_packed_row(tokenizer):
    collate = BiasMaskCollator(tokenizer, LEXICON, tag_ids=[TAG])
    ids = [TAG, SHE, UNITED, STATES, HE, SHE, TAG, UNITED, STATES]
    batch = collate([{"input_ids": ids, "seq_lengths": [3, 3, 3], "attention_mask": [1] * 9}])
    assert batch["input_ids"].tolist() == [[TAG, MASK, UNITED, STATES, HE, SHE, TAG, MASK, MASK]]
    assert collate.masked_words == 2


@pytest.mark.parametrize(
    "build",
    [tiny_tokenizers.byte_level_bpe, tiny_tokenizers.metaspace_bpe, tiny_tokenizers.word_piece],
)
def test_masks_every_token_of_a_word_and_nothing_else(build):
    tokenizer = build()
    text = "the shell hat, she said; the grandmother is there"
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = encoding.input_ids, encoding.offset_mapping
    words = [(text.index(word), text.index(word) + len(word)) for word in ("she said", "grandmother")]
    words[0] = (words[0][0], words[0][0] + len("she"))
    changed = [any(first < stop and last > start for start, stop in words) for first, last in places]
    assert sum(changed) > 2

    collate = BiasMaskCollator(tokenizer)
    masked = collate([{"input_ids": ids, "augmented": True}])["input_ids"][0].tolist()

    mask = tokenizer.mask_token_id
    assert masked == [mask if hit else token for token, hit in zip(ids, changed, strict=True)]
    assert collate.masked_words == 2


def test_can_be_pickled_for_the_workers_of_a_data_loader(tokenizer):
    collate = pickle.loads(pickle.dumps(BiasMaskCollator(tokenizer, LEXICON)))
    assert collate(rows())["input_ids"].tolist()[1] == [MASK, STANDS, HERE, PAD]


def test_the_default_placeholder_is_the_mask_token(tokenizer):
    assert mask_token_ids(tokenizer, MaskConfig()) == {"": MASK}
    assert mask_token_ids(tokenizer, MaskConfig(mask_token="here")) == {"": HERE}


def test_an_unknown_placeholder_is_refused(tokenizer):
    message = r"`mask_token` must be one token of the vocabulary, and '<gone>' is not\. Pass one that is, or add it: "
    with pytest.raises(ValueError, match=message + r'`tokenizer\.add_special_tokens\({"mask_token": "<gone>"}\)`'):
        BiasMaskCollator(tokenizer, LEXICON, mask_token="<gone>")


def test_a_tokenizer_without_mask_token_is_refused_and_the_remedy_works(tokenizer):
    tokenizer.mask_token = None
    message = (
        r"The tokenizer has no mask token\. Add one: "
        r'`tokenizer\.add_special_tokens\({"mask_token": "<\|masked\|>"}\)`, then '
        r"`model\.resize_token_embeddings\(len\(tokenizer\)\)`; or pass a token of the vocabulary as `mask_token=…`"
    )
    with pytest.raises(ValueError, match=message):
        BiasMaskCollator(tokenizer, LEXICON)
    tokenizer.add_special_tokens({"mask_token": "<|masked|>"})
    batch = BiasMaskCollator(tokenizer, LEXICON)(rows())
    assert batch["input_ids"][1, 0] == len(tokenizer) - 1


def test_an_unknown_lexicon_is_refused(tokenizer):
    with pytest.raises(ValueError, match="`lexicon` has no entry 'gendr'"):
        BiasMaskCollator(tokenizer, "gendr")


def test_a_collator_that_meets_no_augmented_row_says_so_once(tokenizer, recwarn):
    collate = BiasMaskCollator(tokenizer, LEXICON, tag_ids=[TAG])
    for _ in range(4):
        collate([{"input_ids": [SHE, SITS]}] * 400)
    assert [str(w.message)[:47] for w in recwarn if w.category is NoEffectWarning] == [
        "None of the first 1200 rows is augmented, so no"
    ]


def test_a_collator_that_changes_the_order_of_rows_is_refused(tokenizer):
    pad = DataCollatorWithPadding(tokenizer)
    collate = BiasMaskCollator(
        tokenizer, LEXICON, collator=lambda rows: pad(sorted(rows, key=lambda r: len(r["input_ids"])))
    )
    with pytest.raises(ValueError, match="must keep the order of the rows"):
        collate([{"input_ids": [SHE, SITS, HERE], "augmented": True}, {"input_ids": [SITS], "augmented": False}])


def test_rows_without_provenance_are_refused(tokenizer):
    with pytest.raises(ProvenanceError, match="No column `augmented`"):
        BiasMaskCollator(tokenizer, LEXICON)([{"input_ids": [SHE]}])
