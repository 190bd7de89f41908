"""Trainers, models and data of other kinds: the mitigations act there, or say before training why they cannot."""

import pytest
import torch
from accelerate.parallelism_config import ParallelismConfig
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from mitigate import BiasMaskCollator, BiasTagTokenizer, MaskConfig, ProvenanceError
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback
from tests.test_mitigation_callback import FLAGS, Recorder, make_trainer, rows, train


class TestHeads:
    def weights(self, model, tokenizer, weight):
        data = rows("classifier", tokenizer)
        settings = TrainingArguments("out", report_to=[], use_cpu=True, max_steps=1, disable_tqdm=True, seed=0)
        callback = AlignmentLossCallback(weight, discrepancy="mean")
        trainer = Trainer(
            model, settings, train_dataset=data, data_collator=DataCollatorWithPadding(tokenizer), callbacks=[callback]
        )
        trainer.train()
        return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])

    def bert(self, tokenizer):
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        return BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes, **dropout))

    def test_a_head_that_reads_a_pooler_gets_the_gradient_too(self, tokenizer):
        without = self.weights(self.bert(tokenizer), tokenizer, 0.0)
        assert not torch.allclose(self.weights(self.bert(tokenizer), tokenizer, 10.0), without)

    def test_a_head_that_reads_nothing_of_the_backbone_is_refused(self, model, tokenizer):
        class Deaf(type(model)):
            def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
                self.model(input_ids=input_ids, attention_mask=attention_mask)
                return {"loss": self.lm_head.weight.square().sum()}

        with pytest.raises(RuntimeError, match="does not depend on what the backbone puts out"):
            train("causal", Deaf(model.config), tokenizer, AlignmentLossCallback(discrepancy="mean"))


class TestEncoderDecoders:
    """Rows of two texts, one to read and one to write, of equal lengths in some of them."""

    READ = ("she cures", "he writes", "she writes well", "the nurse")
    WRITE = ("he she", "she well", "she", "he")

    def given(self, tokenizer, *callbacks, collator=None):
        sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
        model = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, **sizes))
        columns = {"input_ids": self.READ, "labels": self.WRITE}
        ids = {name: tokenizer(list(texts))["input_ids"] for name, texts in columns.items()}
        settings = Seq2SeqTrainingArguments("out", report_to=[], use_cpu=True, max_steps=1, disable_tqdm=True)
        settings.train_sampling_strategy, settings.remove_unused_columns = "sequential", collator is None
        recorder = Recorder()
        Seq2SeqTrainer(
            model,
            settings,
            train_dataset=Dataset.from_dict({**ids, "augmented": FLAGS}),
            data_collator=(collator or (lambda inner: inner))(DataCollatorForSeq2Seq(tokenizer, model)),
            processing_class=tokenizer,
            callbacks=[*callbacks, recorder],
        ).train()
        (batch,) = recorder.batches
        written = [tokenizer.decode(row.where(row >= 0, tokenizer.unk_token_id)) for row in batch["labels"]]
        return recorder.texts(tokenizer), written

    def test_sensitive_words_are_hidden_in_both(self, tokenizer):
        def wrap(inner):
            return BiasMaskCollator(tokenizer, "gender", collator=inner)

        expected = (
            ["<mask> cures", "he writes", "she writes well", "the nurse"],
            ["<unk> <unk>", "she well", "she <unk>", "<unk> <unk>"],
        )
        assert self.given(tokenizer, MitigationCallback(mask="gender")) == expected
        assert self.given(tokenizer, collator=wrap) == expected

    def test_words_of_the_same_kind_are_put_in_both(self, tokenizer):
        callback = MitigationCallback(mask=MaskConfig("gender", mode="swap"))
        read, written = self.given(tokenizer, callback)
        assert read == ["he cures", "he writes", "she writes well", "the nurse"]
        assert written == ["she he", "she well", "she <unk>", "she <unk>"]

    def test_the_tag_is_read_and_not_written(self, tokenizer):
        read, written = self.given(tokenizer, MitigationCallback(token=True))
        assert read[0] == "<|augmented|> she cures"
        assert written == ["he she", "she well", "she <unk>", "he <unk>"]

    def test_a_collator_that_does_not_know_the_model_is_refused(self, tokenizer):
        collate = BiasMaskCollator(tokenizer, "gender", collator=DataCollatorForSeq2Seq(tokenizer))
        with pytest.raises(ValueError, match=r"2 `input_ids` and 3 `labels`, as those of encoder-decoders"):
            collate([{"input_ids": [4, 5], "labels": [4, 5, 6], "augmented": True}])


class BeginningTrainer(SFTTrainer):
    """Does what comes before training, and no more."""

    def begin(self):
        self.callback_handler.on_train_begin(self.args, self.state, self.control)


class TestParallelism:
    """What is refused on machines unlike this one; here, the trainer is made to say that it runs on such a one."""

    def trainer(self, model, tokenizer, **settings):
        settings = SFTConfig("out", report_to=[], use_cpu=True, bf16=False, **settings)
        trainer = BeginningTrainer(
            model,
            settings,
            train_dataset=rows("text", tokenizer),
            processing_class=tokenizer,
            callbacks=[AlignmentLossCallback()],
        )
        trainer.callback_handler.train_dataloader = trainer.get_train_dataloader()
        return trainer

    def test_several_gpus_in_one_process(self, model, tokenizer):
        trainer = self.trainer(model, tokenizer)
        trainer.args._n_gpu = 2
        with pytest.raises(ValueError, match="start the script with `torchrun` or `accelerate launch`"):
            trainer.begin()

    @pytest.mark.parametrize("kind", ["tp", "cp", "sp"])
    def test_rows_split_between_processes(self, model, tokenizer, monkeypatch, kind):
        trainer = self.trainer(model, tokenizer)
        parallelism = ParallelismConfig(**{f"{kind}_size": 2})
        monkeypatch.setitem(AcceleratorState._shared_state, "parallelism_config", parallelism)
        with pytest.raises(ValueError, match=f"{kind}_size > 1 splits a row between processes; use data parallelism"):
            trainer.begin()

    def test_deepspeed_in_fp16(self, model, tokenizer):
        trainer = self.trainer(model, tokenizer, fp16=True)
        trainer.is_deepspeed_enabled = True
        with pytest.raises(ValueError, match="DeepSpeed scales an fp16 loss where a callback cannot; use bf16"):
            trainer.begin()


class TestTrainers:
    def test_two_alignment_losses_are_refused(self, model, tokenizer):
        callbacks = [AlignmentLossCallback(), MitigationCallback(loss="mmd")]
        with pytest.raises(ValueError, match="Two alignment losses in one trainer"):
            make_trainer("text", model, tokenizer, *callbacks)

    def test_two_columns_are_refused(self, model, tokenizer):
        data = rows("text", tokenizer).add_column("other", [not flag for flag in FLAGS])
        callbacks = [MitigationCallback(mask="gender"), AlignmentLossCallback(column="other")]
        with pytest.raises(ValueError, match="read different columns, `augmented` and `other`"):
            train("text", model, tokenizer, *callbacks, data=data)


class TestData:
    @pytest.mark.parametrize("strategy", ["wrapped", "bfd_split"])
    def test_packing_that_cuts_texts_apart_is_refused(self, model, tokenizer, strategy):
        tagged = BiasTagTokenizer.wrap(tokenizer)
        model.resize_token_embeddings(len(tagged))
        data = tagged.tag(rows("text", tokenizer))
        settings = {"packing": True, "packing_strategy": strategy, "max_length": 8}
        trainer = make_trainer("text", model, tagged, AlignmentLossCallback(), data=data, **settings)
        with pytest.raises(ProvenanceError, match=r"Hidden marks survive that: .*`packing_strategy='bfd'`"):
            trainer.train()

    @pytest.mark.parametrize("kind", ["torch", "numpy"])
    def test_formatted_rows_are_changed_as_plain_ones_are(self, model, tokenizer, kind):
        both = {"token": True, "mask": "gender"}
        _, plain = train("causal", model, tokenizer, MitigationCallback(**both))
        data = rows("causal", tokenizer).with_format(kind)
        _, formatted = train("causal", model, tokenizer, MitigationCallback(**both), data=data)
        assert formatted.texts(tokenizer) == plain.texts(tokenizer)
        assert sum("<|augmented|>" in text for text in plain.texts(tokenizer)) == sum(FLAGS)

    def test_flags_written_as_words_are_refused(self, model, tokenizer):
        data = rows("text", tokenizer, flags=[str(flag) for flag in FLAGS])
        message = "Column `augmented` must hold True or False in every row, got"
        with pytest.raises(ValueError, match=message):
            train("text", model, tokenizer, MitigationCallback(mask="gender"), data=data)
        with pytest.raises(ValueError, match=message):
            BiasTagTokenizer.wrap(tokenizer).tag(data)

    def test_the_tag_follows_the_token_of_the_class(self, model, tokenizer):
        tokenizer.cls_token = "today"
        data = Dataset.from_dict({"input_ids": [[tokenizer.cls_token_id, 4]] * 4, "augmented": FLAGS})
        _, recorder = train("causal", model, tokenizer, MitigationCallback(token=True), data=data)
        assert [text.split()[0] for text in recorder.texts(tokenizer)] == ["today"] * 4
        assert recorder.texts(tokenizer)[0].split()[1].startswith("<|augmented|>")

    def test_tags_are_dropped_anew_with_workers_that_stay(self, model, tokenizer):
        settings = {"max_steps": 8, "dataloader_num_workers": 1, "dataloader_persistent_workers": True}
        callback = MitigationCallback(token=True, tag_dropout=0.5)
        _, recorder = train("causal", model, tokenizer, callback, **settings)
        texts = recorder.texts(tokenizer)
        epochs = {tuple(texts[first : first + 4]) for first in range(0, len(texts), 4)}
        assert len(epochs) > 1
