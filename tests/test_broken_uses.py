"""What goes wrong in a script for want of one line: each is told in so many words, before or at the first step."""

import pytest

from mitigate import BiasMaskCollator, ProvenanceError
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback
from tests.test_mitigation_callback import make_trainer, rows

# The rows of SFTTrainer, which tokenizes them, and of Trainer, for which they are tokenized.
in_each = pytest.mark.parametrize(
    ("form", "columns"), [("text", "text, input_ids, labels"), ("causal", "input_ids")], ids=["SFTTrainer", "Trainer"]
)
CALLBACKS = {
    "token": lambda: MitigationCallback(token=True),
    "mask": lambda: MitigationCallback(mask="gender"),
    "loss": lambda: MitigationCallback(loss="mmd"),
    "loss by itself": AlignmentLossCallback,
}


def refuse(trainer, error, message):
    """The trainer takes no step, and says why."""
    with pytest.raises(error) as caught:
        trainer.train()
    assert str(caught.value) == message
    assert trainer.state.global_step == 0


@pytest.mark.parametrize("callback", CALLBACKS)
@in_each
def test_no_augmented_column(model, tokenizer, form, columns, callback):
    data = rows(form, tokenizer, flags=None)
    refuse(
        make_trainer(form, model, tokenizer, CALLBACKS[callback](), data=data),
        ProvenanceError,
        f"`augmented` is not a column of the training data set (columns: {columns}). Add a boolean column `augmented` "
        "that tells augmented rows, or name yours with `column=…`.",
    )


@in_each
def test_an_augmented_column_of_another_name(model, tokenizer, form, columns):
    data = rows(form, tokenizer).rename_column("augmented", "synthetic")
    found = columns.replace("text,", "text, synthetic,") if form == "text" else f"{columns}, synthetic"
    refuse(
        make_trainer(form, model, tokenizer, AlignmentLossCallback(), data=data),
        ProvenanceError,
        f"`augmented` is not a column of the training data set (columns: {found}). Add a boolean column `augmented` "
        "that tells augmented rows, or name yours with `column=…`.",
    )


@in_each
def test_the_name_of_a_lexicon_that_is_not_there(model, tokenizer, form, columns):
    with pytest.raises(ValueError) as caught:
        make_trainer(form, model, tokenizer, MitigationCallback(mask="gendr"))
    before, _, after = str(caught.value).partition("available: ")
    names, hint, remedy = after.partition(". Did you mean 'gender'? ")
    assert before == "`lexicon` has no entry 'gendr'; "
    assert {"age", "gender", "names", "nationality", "race", "religion"} <= {*names.split(", ")}
    assert hint
    assert remedy == (
        "For words of your own pass a list of them, a `Lexicon`, or the path of a text file (a `Path`, or a string "
        "that ends in `.txt`)."
    )


@in_each
def test_a_tag_outside_the_vocabulary(model, tokenizer, form, columns):
    refuse(
        make_trainer(form, model, tokenizer, AlignmentLossCallback(tag="<|llm|>")),
        ValueError,
        "The tag '<|llm|>' is not a token of the tokenizer, so it would be split into pieces that mark nothing. Use "
        "`BiasTagTokenizer.wrap(tokenizer, augmented_tag='<|llm|>')`, which adds it.",
    )


@in_each
def test_a_trainer_that_drops_the_column_before_a_collator_of_the_user_sees_it(model, tokenizer, form, columns):
    trainer = make_trainer(form, model, tokenizer)
    trainer.data_collator = BiasMaskCollator(tokenizer, "gender")
    left = "input_ids, labels" if form == "text" else columns
    refuse(
        trainer,
        ProvenanceError,
        f"No column `augmented` in the rows (columns: {left}) and no tag to look for, so real and augmented rows "
        "cannot be told apart. If the trainer dropped it, set `remove_unused_columns=False`; if there is none, add a "
        "boolean column `augmented` (False in every row of an evaluation set), or name yours with `column=…`.",
    )


@pytest.mark.parametrize("callback", CALLBACKS)
def test_packing_that_drops_the_column_where_the_rows_bear_no_mark(model, tokenizer, callback):
    refuse(
        make_trainer("text", model, tokenizer, CALLBACKS[callback](), packing=True, max_length=24),
        ProvenanceError,
        "Packing drops every column, `augmented` too, and the rows bear no mark that tells augmented ones. Wrap the "
        "tokenizer with `BiasTagTokenizer.wrap(tokenizer, hidden=True)`, and tag the data set with its `tag` method.",
    )


@in_each
def test_a_callback_that_comes_after_the_trainer_has_prepared_its_data(model, tokenizer, form, columns):
    trainer = make_trainer(form, model, tokenizer)
    trainer.add_callback(MitigationCallback(mask="gender"))
    refuse(
        trainer,
        RuntimeError,
        "`MitigationCallback` must be given to the trainer's constructor, as `callbacks=[MitigationCallback(…)]`: "
        "added later, it finds the data prepared without it.",
    )
