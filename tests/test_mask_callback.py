"""Masks of every mode through the callback, in a real trainer."""

import pytest
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

from mitigate import BiasTagTokenizer, Lexicon, MaskConfig, NoEffectWarning
from mitigate.callbacks import MitigationCallback
from mitigate.lexicons import Group

TEXT = "she writes Mary cures well today"
LEXICON = Lexicon(
    "test",
    ("she", "he", "Mary", "John"),
    groups=(Group("gender", "", ("she", "he")), Group("name", "", ("Mary", "John"))),
)


class Recorder(TrainerCallback):
    """Keeps what the model is given, row by row."""

    def __init__(self):
        self.rows = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        model.register_forward_pre_hook(self.keep, with_kwargs=True)

    def keep(self, model, args, kwargs):
        fields = [kwargs[name].tolist() for name in ("input_ids", "labels", "attention_mask")]
        self.rows += zip(*fields, strict=True)


def train(model, tokenizer, mask, text=TEXT, rows=2, **settings):
    """Train on an augmented and a real row, and return what the model was given of the augmented ones."""
    data = {"input_ids": [tokenizer(text).input_ids] * rows, "augmented": [True, False] * (rows // 2)}
    arguments = TrainingArguments(
        "out",
        **{"max_steps": 1, "report_to": [], "use_cpu": True, "save_strategy": "no", "disable_tqdm": True} | settings,
        train_sampling_strategy="sequential",
    )
    recorder = Recorder()
    callback = mask if isinstance(mask, MitigationCallback) else MitigationCallback(mask=mask)
    Trainer(
        model,
        arguments,
        train_dataset=Dataset.from_dict(data),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer,
        callbacks=[callback, recorder],
    ).train()
    return recorder.rows[::2]


@pytest.mark.parametrize(
    ("mode", "expected", "counts", "attended"),
    [
        ("placeholder", "<mask> writes <mask> cures well today", [0, 1, 0, 1, 1, 1], [1] * 6),
        ("kind", "<|gender|> writes <|name|> cures well today", [0, 1, 0, 1, 1, 1], [1] * 6),
        ("swap", "he writes John cures well today", [1] * 6, [1] * 6),
        ("loss", TEXT, [0, 1, 0, 1, 1, 1], [1] * 6),
        ("attention", TEXT, [0, 1, 0, 1, 1, 1], [0, 1, 0, 1, 1, 1]),
    ],
)
def test_modes(model, tokenizer, mode, expected, counts, attended):
    size = len(tokenizer)
    ((ids, labels, attention),) = train(model, tokenizer, MaskConfig(LEXICON, mode=mode))
    assert tokenizer.decode(ids) == expected
    assert labels == [token if counted else -100 for token, counted in zip(ids, counts, strict=True)]
    assert attention == attended
    added = 2 if mode == "kind" else 0
    assert len(tokenizer) == model.get_input_embeddings().num_embeddings == size + added


def test_masks_are_drawn_anew_each_epoch(model, tokenizer):
    config = MaskConfig(LEXICON, probability=0.5)
    seen = [tokenizer.decode(row[0]) for row in train(model, tokenizer, config, max_steps=-1, num_train_epochs=12)]
    assert len(seen) == 12
    assert len(set(seen)) > 2


@pytest.mark.parametrize("mode", ["placeholder", "swap"])
def test_any_number_of_workers_masks_the_same_in_a_trainer(model, tokenizer, mode):
    seen = []
    for workers, persistent in ((0, False), (1, False), (2, False), (2, True)):
        config = MaskConfig(LEXICON, mode=mode, probability=0.5)
        loading = {"dataloader_num_workers": workers, "dataloader_persistent_workers": persistent}
        rows = train(model, tokenizer, config, max_steps=-1, num_train_epochs=8, **loading)
        seen.append([ids for ids, *_ in rows])
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert len({tuple(ids) for ids in seen[0]}) > 1 and len(seen[0]) == 8


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [((None, 1), (None, 1), True), ((None, 1), (None, 2), False), ((5, 1), (5, 2), True), ((0, 1), (0, 2), True)],
)
def test_the_seed_is_that_of_the_trainer_unless_one_is_given(model, tokenizer, first, second, same):
    drawn = []
    for seed, of_trainer in (first, second):
        text = " ".join([TEXT] * 8)
        rows = train(model, tokenizer, MaskConfig(LEXICON, probability=0.5, seed=seed), text, seed=of_trainer)
        drawn.append(rows[0][0])
    assert (drawn[0] == drawn[1]) == same


def test_the_control_masks_other_words(model, tokenizer):
    ((ids, *_),) = train(model, tokenizer, MaskConfig(LEXICON, random_words=True))
    words = tokenizer.decode(ids).split()
    assert (words[0], words[2], words.count("<mask>")) == ("she", "Mary", 2)


def test_reserved_tokens_are_used_once_each(model, tokenizer):
    reserved = [f"<|reserved_special_token_{i}|>" for i in range(4)]
    tokenizer.add_special_tokens({"extra_special_tokens": reserved})
    model.resize_token_embeddings(len(tokenizer))
    size = len(tokenizer)
    tokenizer.mask_token = reserved[1]
    config = MaskConfig(LEXICON, mode="kind")
    callback = MitigationCallback(mask=config, token=True)
    ((ids, *_),) = train(model, tokenizer, callback)
    tokens = [tokenizer.convert_ids_to_tokens(ids)[i] for i in (0, 1, 3)]
    assert tokens == [reserved[3], reserved[0], reserved[2]]
    assert len(tokenizer) == size


def test_tags_of_the_tokenizer_are_no_placeholders(model, tokenizer):
    reserved = [f"<|reserved_special_token_{i}|>" for i in range(4)]
    tokenizer.add_special_tokens({"extra_special_tokens": reserved})
    model.resize_token_embeddings(len(tokenizer))
    tagging = BiasTagTokenizer.wrap(tokenizer, paired=True)
    ((ids, *_),) = train(model, tagging, MaskConfig(LEXICON, mode="kind"))
    assert [tagging.convert_ids_to_tokens(ids)[i] for i in (0, 2)] == reserved[2:]


def test_a_placeholder_that_is_named_is_added(model, tokenizer):
    ((ids, *_),) = train(model, tokenizer, MaskConfig(LEXICON, mask_token="<|person|>"))
    assert tokenizer.decode(ids) == "<|person|> writes <|person|> cures well today"
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)


def find_she(text):
    return [(text.index(word), text.index(word) + 3, "gender") for word in ["she"] if word in text]


def test_a_finder_masks(model, tokenizer):
    ((ids, *_),) = train(model, tokenizer, find_she)
    assert tokenizer.decode(ids) == "<mask> writes Mary cures well today"


def test_a_finder_that_finds_nothing_is_told_of(model, tokenizer):
    with pytest.warns(NoEffectWarning, match="holds a word of the finder find_she, so masking changes nothing"):
        train(model, tokenizer, find_she, "he writes")


def test_a_small_probability_is_no_cause_for_a_warning(model, tokenizer, recwarn):
    train(model, tokenizer, MaskConfig(LEXICON, probability=1e-9))
    assert not [warning for warning in recwarn if warning.category is NoEffectWarning]
