"""The callback that installs the mitigations, in real trainers: what the model is given, and what is left behind."""

import copy
import re
import warnings

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    LlamaForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from mitigate import BiasTagTokenizer, Lexicon, NoEffectWarning
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback

TAG, REAL, MASK = "<|augmented|>", "<|real|>", "<mask>"
SENTENCES = [
    "she cures he writes well",
    "he writes she cures",
    "the nurse writes she writes well today",
    "the doctor cures he answer",
]
FLAGS = [True, False, False, True]
FORMATS = ["text", "prompt", "conversation", "causal", "classifier"]
MITIGATIONS = {
    "token": {"token": True},
    "paired": {"token": "paired"},
    "mask": {"mask": "gender"},
    "loss": {"loss": "mean"},
    "all": {"token": True, "mask": "gender", "loss": AlignmentLossCallback(discrepancy="mean")},
}
IN_TURN = {"train_sampling_strategy": "sequential"}


class Recorder(TrainerCallback):
    """Keeps what the model is given once all hooks of others are through."""

    def __init__(self):
        self.batches = []

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 0:
            self.handle = model.register_forward_pre_hook(self.keep, with_kwargs=True)

    def keep(self, model, args, kwargs):
        if model.training:
            self.batches.append({name: value for name, value in kwargs.items() if isinstance(value, torch.Tensor)})

    def on_train_end(self, args, state, control, **kwargs):
        self.handle.remove()

    def texts(self, tokenizer):
        """Text of every row, without its padding."""
        return [
            tokenizer.decode(ids[mask.bool()])
            for batch in self.batches
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]


class Interruption(TrainerCallback):
    """Ends training with an error, once."""

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = False
        if not hasattr(self, "happened"):
            self.happened = True
            raise KeyboardInterrupt


def rows(form, tokenizer, sentences=SENTENCES, flags=FLAGS):
    def row(sentence):
        head, tail = sentence.split(" ", 2)[:2], sentence.split(" ", 2)[2]
        prompt = " ".join(head)
        return {
            "text": lambda: {"text": sentence},
            "prompt": lambda: {"prompt": prompt, "completion": f" {tail}"},
            "conversation": lambda: {
                "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": tail}]
            },
            "causal": lambda: {"input_ids": tokenizer(sentence)["input_ids"]},
            "classifier": lambda: {"input_ids": tokenizer(sentence)["input_ids"], "label": int("well" in sentence)},
        }[form]()

    columns = {} if flags is None else {"augmented": flags}
    data = Dataset.from_list([row(sentence) for sentence in sentences])
    for name, values in columns.items():
        data = data.add_column(name, values)
    return data


def make_trainer(form, model, tokenizer, *callbacks, data=None, evaluation=None, trainer=None, **config):
    """A trainer of the form's kind, which goes through the rows in their order."""
    settings = {
        "output_dir": "out", "report_to": [], "use_cpu": True, "bf16": False, "max_steps": 1, "save_strategy": "no",
        "per_device_train_batch_size": 4, "disable_tqdm": True, "logging_steps": 1, **IN_TURN, **config,
    }  # fmt: skip
    data = rows(form, tokenizer) if data is None else data
    common = {"train_dataset": data, "eval_dataset": evaluation, "processing_class": tokenizer, **(trainer or {})}
    if form in ("causal", "classifier"):
        classify = form == "classifier"
        model = LlamaForSequenceClassification(model.config) if classify else model
        collate = (
            DataCollatorWithPadding(tokenizer) if classify else DataCollatorForLanguageModeling(tokenizer, mlm=False)
        )
        return Trainer(
            model, TrainingArguments(**settings), data_collator=collate, callbacks=list(callbacks), **common
        )
    if form == "conversation":
        tokenizer.chat_template = "{% for turn in messages %}{{ turn['content'] + ' ' }}{% endfor %}"
    arguments = SFTConfig(**{"shuffle_dataset": False, "activation_checkpointing": False, **settings})
    return SFTTrainer(model, arguments, callbacks=list(callbacks), **common)


def train(form, model, tokenizer, *callbacks, **settings):
    recorder = Recorder()
    trainer = make_trainer(form, model, tokenizer, *callbacks, recorder, **settings)
    trainer.train()
    return trainer, recorder


def expected(form, mitigation):
    """What the model should read in each row."""
    end = " <eos>" if form in ("text", "prompt") else ""
    texts = []
    for sentence, augmented in zip(SENTENCES, FLAGS, strict=True):
        if augmented and mitigation in ("mask", "all"):
            sentence = re.sub(r"\bs?he\b", MASK, sentence)
        tag = {"token": (TAG, ""), "all": (TAG, ""), "paired": (TAG, REAL)}.get(mitigation, ("", ""))[not augmented]
        texts.append(f"{tag} {sentence}{end}".strip())
    return texts


def hooks(model):
    return {
        (name, kind): list(getattr(module, kind))
        for name, module in model.named_modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        if getattr(module, kind)
    }


class TestWhatTheModelIsGiven:
    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("mitigation", ["paired", "all"])  # the others by themselves: tests/test_matrix.py
    def test_augmented_rows_are_changed_as_asked_and_real_rows_are_not(self, model, tokenizer, form, mitigation):
        trainer, recorder = train(form, model, tokenizer, MitigationCallback(**MITIGATIONS[mitigation]))
        assert recorder.texts(tokenizer) == expected(form, mitigation)
        (batch,) = recorder.batches
        assert "augmented" not in batch
        assert ("alignment/mean" in trainer.state.log_history[0]) == ("loss" in MITIGATIONS[mitigation])

    @pytest.mark.parametrize("form", [form for form in FORMATS if form != "classifier"])
    @pytest.mark.parametrize("mitigation", ["paired", "all"])
    def test_tags_and_placeholders_are_no_labels_and_all_else_is_as_before(self, model, tokenizer, form, mitigation):
        callback = MitigationCallback(**MITIGATIONS[mitigation])
        (batch,) = train(form, model, tokenizer, callback)[1].batches
        (plain,) = train(form, type(model)(model.config), tokenizer)[1].batches
        ids, labels = batch["input_ids"], batch["labels"]
        written = torch.isin(ids, torch.tensor(tokenizer.convert_tokens_to_ids([TAG, REAL, MASK])))
        assert written.any()
        assert (labels[written] == -100).all()
        for ours, theirs, before, mine in zip(labels, plain["labels"], plain["input_ids"], ids, strict=True):
            sensitive = torch.isin(before, torch.tensor(tokenizer.convert_tokens_to_ids(["she", "he"])))
            masked = MASK in tokenizer.decode(mine)
            kept = theirs[(theirs != -100) & ~(sensitive & masked)]
            assert ours[ours != -100].tolist() == kept.tolist()

    def test_the_label_of_a_class_is_kept(self, model, tokenizer):
        (batch,) = train("classifier", model, tokenizer, MitigationCallback(token=True, mask="gender"))[1].batches
        assert batch["labels"].tolist() == [1, 0, 1, 0]

    def test_the_tag_can_precede_the_answer(self, model, tokenizer):
        _, recorder = train("prompt", model, tokenizer, MitigationCallback(token="paired", tag_position="answer"))
        places = [
            text.split().index(TAG if flag else REAL)
            for text, flag in zip(recorder.texts(tokenizer), FLAGS, strict=True)
        ]
        assert places == [2] * 4

    def test_tags_of_a_tokenizer_that_has_them_are_used(self, model, tokenizer):
        tagged = BiasTagTokenizer.wrap(tokenizer, augmented_tag="<|llm|>", paired=True)
        size = len(tagged)
        model.resize_token_embeddings(size)
        _, recorder = train("text", model, tagged, MitigationCallback(token=True))
        assert [text.split()[0] for text in recorder.texts(tagged)] == ["<|llm|>", REAL, REAL, "<|llm|>"]
        assert len(tagged) == size

    def test_rows_tagged_beforehand_are_not_tagged_again(self, model, tokenizer):
        tagged = BiasTagTokenizer.wrap(tokenizer)
        data = tagged.tag(rows("text", tagged))
        data = data.map(lambda row: {"text": row["text"].replace(TAG, f"{TAG} ")})
        _, recorder = train("text", model, tagged, MitigationCallback(token=True), data=data)
        assert recorder.texts(tagged) == expected("text", "token")

    def test_dropped_tags_are_drawn_anew_every_epoch(self, model, tokenizer):
        data = rows("text", tokenizer, SENTENCES * 25, FLAGS * 25)
        callback = MitigationCallback(token=True, tag_dropout=0.5)
        settings = {"max_steps": 50, "shuffle_dataset": False}
        texts = train("text", model, tokenizer, callback, data=data, **settings)[1].texts(tokenizer)
        first, second = ([TAG in text for text in texts[part]] for part in (slice(100), slice(100, 200)))
        # Two sentences are augmented, and equal rows share a draw: four outcomes, two epochs.
        assert sum(first) in (0, 25, 50)
        assert len(first) == len(second) == 100
        assert not any(TAG in text for text, flag in zip(texts, FLAGS * 50, strict=True) if not flag)

    def test_a_list_of_words_can_be_masked(self, model, tokenizer):
        _, recorder = train(
            "text", model, tokenizer, MitigationCallback(mask=Lexicon(name="jobs", words=("nurse", "doctor")))
        )
        texts = recorder.texts(tokenizer)
        assert [MASK in text for text in texts] == [False, False, False, True]
        assert "nurse" in texts[2]

    def test_the_column_can_have_another_name(self, model, tokenizer):
        data = rows("text", tokenizer).rename_column("augmented", "synthetic")
        callback = MitigationCallback(token=True, loss="mean", column="synthetic")
        _, recorder = train("text", model, tokenizer, callback, data=data)
        assert recorder.texts(tokenizer) == expected("text", "token")
        assert "synthetic" not in recorder.batches[0]

    def test_workers_of_the_data_loader_do_the_same(self, model, tokenizer):
        callback = MitigationCallback(**MITIGATIONS["all"])
        _, recorder = train("text", model, tokenizer, callback, dataloader_num_workers=1)
        assert recorder.texts(tokenizer) == expected("text", "all")

    def test_rows_in_the_format_of_numpy_are_changed_too(self, model, tokenizer):
        data = rows("text", tokenizer).with_format("numpy")
        _, recorder = train("text", model, tokenizer, MitigationCallback(**MITIGATIONS["all"]), data=data)
        assert recorder.texts(tokenizer) == expected("text", "all")

    def test_streamed_rows_are_changed_too(self, model, tokenizer):
        data = rows("causal", tokenizer).to_iterable_dataset()
        callback = MitigationCallback(**MITIGATIONS["all"])
        trainer, recorder = train("causal", model, tokenizer, callback, data=data)
        assert recorder.texts(tokenizer) == expected("causal", "all")
        assert "alignment/mean" in trainer.state.log_history[0]


class TestVocabulary:
    def test_a_new_tag_gets_an_embedding_at_the_mean_of_the_others(self, model, tokenizer):
        before = model.get_input_embeddings().weight.detach().clone()
        trainer = make_trainer("text", model, tokenizer, MitigationCallback(token="paired"))
        after = trainer.model.get_input_embeddings().weight
        assert len(after) == len(before) + 2 == len(tokenizer)
        torch.testing.assert_close(after[:-2], before)
        torch.testing.assert_close(after[-2:], before.mean(dim=0).expand(2, -1), atol=0.01, rtol=0)

    def test_a_model_with_spare_rows_is_not_resized(self, model, tokenizer):
        model.resize_token_embeddings(64)
        trainer = make_trainer("text", model, tokenizer, MitigationCallback(token=True))
        assert trainer.model.get_input_embeddings().num_embeddings == 64

    def test_a_tokenizer_without_a_placeholder_gets_one(self, model, tokenizer):
        tokenizer.mask_token = None
        trainer, recorder = train("text", model, tokenizer, MitigationCallback(mask="gender"))
        assert tokenizer.mask_token == "<|masked|>"
        assert recorder.texts(tokenizer) == [text.replace(MASK, "<|masked|>") for text in expected("text", "mask")]
        assert trainer.model.get_input_embeddings().num_embeddings == len(tokenizer)

    def test_the_embedding_of_the_tag_is_trained(self, model, tokenizer):
        trainer = make_trainer("text", model, tokenizer, MitigationCallback(token=True), learning_rate=0.1)
        before = trainer.model.get_input_embeddings().weight[-1].detach().clone()
        trainer.train()
        assert not torch.equal(trainer.model.get_input_embeddings().weight[-1], before)

    def test_frozen_embeddings_are_warned_of(self, model, tokenizer, caplog):
        lora = {"peft_config": LoraConfig(target_modules=["q_proj"], r=2)}
        make_trainer("text", model, tokenizer, MitigationCallback(token=True), trainer=lora)
        assert "embeddings are frozen (LoRA?), so that of the tag is not trained" in caplog.text

    def test_lora_without_new_tokens_is_not_warned_of(self, model, tokenizer, caplog):
        lora = {"peft_config": LoraConfig(target_modules=["q_proj"], r=2)}
        make_trainer("text", model, tokenizer, MitigationCallback(mask="gender"), trainer=lora)
        assert "frozen" not in caplog.text

    def test_an_optimizer_made_before_the_new_tokens_is_refused(self, model, tokenizer):
        optimizers = {"optimizers": (torch.optim.SGD(model.parameters(), 0.1), None)}
        with pytest.raises(ValueError, match=r"optimizer passed to the trainer.*Pass no `optimizers`"):
            make_trainer("text", model, tokenizer, MitigationCallback(token=True), trainer=optimizers)

    def test_every_model_of_a_model_init_reads_the_new_tokens(self, model, tokenizer):
        recorder = Recorder()
        trainer = Trainer(
            args=TrainingArguments("out", report_to=[], use_cpu=True, max_steps=1, save_strategy="no", **IN_TURN),
            model_init=lambda: copy.deepcopy(model),
            train_dataset=rows("causal", tokenizer),
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
            processing_class=tokenizer,
            callbacks=[MitigationCallback(token=True), recorder],
        )
        first = trainer.model
        trainer.train()
        assert trainer.model is not first
        assert len(trainer.model.get_input_embeddings().weight) == len(tokenizer)
        assert recorder.texts(tokenizer) == expected("causal", "token")

    def test_a_trainer_without_a_tokenizer_is_refused(self, model, tokenizer):
        collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        with pytest.raises(ValueError, match="pass `processing_class=tokenizer` to it"):
            Trainer(
                model,
                TrainingArguments("out", report_to=[]),
                data_collator=collate,
                train_dataset=rows("causal", tokenizer),
                callbacks=[MitigationCallback(token=True)],
            )


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, "nothing to do: set `token`, `mask`, `loss` or `augmented_weight`"),
            ({"token": "both"}, "must be True, False, 'paired' or 'notice', got 'both'"),
            ({"loss": "corral"}, r"called 'corral'; available: mean, .*sliced_wasserstein\. Did you mean 'coral'"),
            ({"loss": "mmd", "loss_weight": -0.1}, r"`weight` must be a finite number, at least 0, got -0\.1"),
            ({"augmented_weight": 2}, r"`weight` of augmented rows must lie in \[0, 1\], got 2: real rows have 1"),
            ({"token": True, "tag_dropout": 1}, r"must lie in \[0, 1\), got 1"),
            ({"token": True, "tag_position": "end"}, "must be 'start' or 'answer', got 'end'"),
        ],
    )
    def test_what_cannot_be_is_refused_when_it_is_said(self, settings, message):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            MitigationCallback(**settings)

    @pytest.mark.parametrize("callback", [MitigationCallback(token=True), AlignmentLossCallback()])
    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ([False] * 4, r"No augmented row among the 4 training rows \(bias ratio 0\)"),
            ([True] * 4, r"All 4 training rows are augmented \(bias ratio 1\)"),
        ],
        ids=["all real", "all augmented"],
    )
    @pytest.mark.parametrize("form", ["text", "causal"])
    def test_rows_without_both_sides_are_refused_before_training(
        self, model, tokenizer, callback, flags, message, form
    ):
        trainer = make_trainer(form, model, tokenizer, callback, data=rows(form, tokenizer, flags=flags))
        with pytest.raises(ValueError, match=message):
            trainer.train()
        assert trainer.state.global_step == 0

    def test_a_lexicon_that_no_augmented_row_meets_is_warned_of(self, model, tokenizer):
        trainer = make_trainer("text", model, tokenizer, MitigationCallback(mask="nationality"))
        with pytest.warns(NoEffectWarning, match="None of the first 2 augmented rows holds a word of the lexicon"):
            trainer.train()

    def test_words_of_real_rows_alone_are_warned_of(self, model, tokenizer):
        data = rows("text", tokenizer, ["the nurse cures well", "she writes today"], [True, False])
        with pytest.warns(NoEffectWarning, match="None of the first 1 augmented rows"):
            train("text", model, tokenizer, MitigationCallback(mask="gender"), data=data)

    def test_batches_too_small_for_the_loss_are_warned_of(self, model, tokenizer):
        settings = {"per_device_train_batch_size": 1, "max_steps": 21}
        with pytest.warns(NoEffectWarning, match="did nothing in the first 20 steps.*Raise `per_device_train_batch"):
            train("text", model, tokenizer, MitigationCallback(loss="mmd"), **settings)

    def test_batches_that_are_large_enough_are_not(self, model, tokenizer):
        with warnings.catch_warnings():
            warnings.simplefilter("error", NoEffectWarning)
            train("text", model, tokenizer, MitigationCallback(**MITIGATIONS["all"]), max_steps=21)


class TestPacking:
    SETTINGS = {"packing": True, "max_length": 24, "per_device_train_batch_size": 1, "max_steps": 3}  # noqa: RUF012

    def test_rows_tagged_beforehand_are_told_apart(self, model, tokenizer):
        tagged = BiasTagTokenizer.wrap(tokenizer)
        model.resize_token_embeddings(len(tagged))
        data = tagged.tag(rows("text", tagged, SENTENCES * 4, FLAGS * 4))
        callback = AlignmentLossCallback(1.0, discrepancy="mean")
        trainer = make_trainer("text", model, tagged, callback, data=data, **self.SETTINGS)
        assert "augmented" not in trainer.train_dataset.column_names
        assert max(map(len, trainer.train_dataset["seq_lengths"])) > 1
        trainer.train()
        assert any("alignment/mean" in log for log in trainer.state.log_history)

    def test_masks_reach_the_segments_of_augmented_rows_alone(self, model, tokenizer):
        tagged = BiasTagTokenizer.wrap(tokenizer)
        data = tagged.tag(rows("text", tagged, SENTENCES * 4, FLAGS * 4))
        recorder = Recorder()
        callback = MitigationCallback(mask="gender")
        trainer = make_trainer("text", model, tagged, callback, recorder, data=data, **self.SETTINGS)
        trainer.train()
        text = " ".join(tagged.decode(batch["input_ids"][0]) for batch in recorder.batches)
        for segment in text.replace("<eos>", "\n").replace(TAG, f"{TAG} ").splitlines():
            sensitive = {"she", "he"} & set(segment.split())
            assert bool(sensitive) != (TAG in segment) or not segment.strip()
        assert all(
            (batch["labels"][batch["input_ids"] == tagged.mask_token_id] == -100).all() for batch in recorder.batches
        )


class TestEvaluation:
    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("flags", [FLAGS, None], ids=["with the column", "without the column"])
    def test_it_is_that_of_a_trainer_without_the_callback(self, model, tokenizer, form, flags):
        evaluation = rows(form, tokenizer, flags=flags)
        callback = MitigationCallback(mask="gender", loss="mean")
        trainer = make_trainer(
            form, model, tokenizer, callback, evaluation=evaluation, eval_strategy="steps", eval_steps=1, max_steps=2
        )
        plain = make_trainer(form, model, tokenizer, evaluation=rows(form, tokenizer, flags=None))
        plain.model = trainer.model
        assert trainer.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
        trainer.train()
        after = trainer.evaluate()["eval_loss"]
        assert [log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log][-2:] == [after] * 2
        assert after == plain.evaluate()["eval_loss"]


class TestLifeCycle:
    @pytest.mark.parametrize("form", ["text", "classifier"])
    def test_training_twice_gives_the_model_the_same_rows_twice(self, model, tokenizer, form):
        trainer, recorder = train(form, model, tokenizer, MitigationCallback(**MITIGATIONS["all"]))
        trainer.train()
        assert recorder.texts(tokenizer) == expected(form, "all") * 2
        assert "alignment/mean" in trainer.state.log_history[0]

    @pytest.mark.parametrize("form", ["text", "classifier"])
    def test_no_hook_is_left_on_the_model(self, model, tokenizer, form):
        trainer = make_trainer(form, model, tokenizer, MitigationCallback(**MITIGATIONS["all"]))
        before = hooks(trainer.model)
        trainer.train()
        assert hooks(trainer.model) == before

    def test_an_interrupted_run_can_be_started_again_and_leaves_no_hook_either(self, model, tokenizer):
        callback, recorder = MitigationCallback(**MITIGATIONS["all"]), Recorder()
        trainer = make_trainer("text", model, tokenizer, callback, Interruption(), recorder, max_steps=2)
        before = hooks(trainer.model)
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        recorder.handle.remove()
        recorder.batches.clear()
        trainer.train()
        assert recorder.texts(tokenizer) == expected("text", "all") * 2
        assert [log["alignment/coverage"] for log in trainer.state.log_history[:2]] == [1, 1]
        assert hooks(trainer.model) == before

    def test_the_model_can_be_used_after_an_interruption(self, model, tokenizer):
        callback = MitigationCallback(loss="mean")
        trainer = make_trainer("text", model, tokenizer, callback, Interruption())
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        assert (
            trainer.model(**tokenizer("she writes", return_tensors="pt", return_token_type_ids=False))
            .logits.isfinite()
            .all()
        )

    def test_what_is_saved_loads_as_any_other_model(self, model, tokenizer):
        trainer, _ = train("text", model, tokenizer, MitigationCallback(**MITIGATIONS["all"]))
        trainer.save_model("saved")
        loaded = type(model).from_pretrained("saved")
        assert type(tokenizer).from_pretrained("saved").get_vocab() == tokenizer.get_vocab()
        for name, weight in trainer.model.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], weight)
