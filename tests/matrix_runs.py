"""Run a cell of the test matrix: one optimizer step with a mitigation, or without any."""

import copy
from functools import cache
from typing import NamedTuple

import torch
import trl
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    LlamaForSequenceClassification,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
    set_seed,
)

from mitigate import BiasTagTokenizer
from mitigate.callbacks import MitigationCallback, ProvenanceMonitor
from tests.conftest import make_model, make_tokenizer
from tests.test_mitigation_callback import Recorder

# Prompts and answers. Real and augmented rows have no word in common, so that every word tells where it comes from.
AUGMENTED = [("Mary she", "cures a nurse she"), ("she cures", "Mary"), ("a nurse", "she she"), ("Mary", "cures she a")]
REAL = [("John he", "writes the doctor"), ("he", "writes today he he"), ("the doctor", "he today"), ("John", "he he")]
FLAGS = [True, False, False, True, False, True, True, False]

TEMPLATE = (
    "{% for turn in messages %}{% if turn['role'] == 'assistant' %}{% generation %}{{ turn['content'] + ' ' }}"
    "{% endgeneration %}{% else %}{{ turn['content'] + ' ' }}{% endif %}{% endfor %}"
)
SETTINGS = {
    "output_dir": "out", "report_to": [], "use_cpu": True, "bf16": False, "max_steps": 1, "save_strategy": "no",
    "per_device_train_batch_size": 8, "disable_tqdm": True, "logging_steps": 1, "optim": "sgd", "learning_rate": 0.1,
    "max_grad_norm": 0, "train_sampling_strategy": "sequential", "activation_checkpointing": False,
}  # fmt: skip
ONLINE = {"num_generations": 2, "max_completion_length": 2, "per_device_train_batch_size": 16}
PACKING = {"packing": True, "max_length": 10, "per_device_train_batch_size": 32}

# Trainer, form of the rows, and arguments.
HOSTS = {
    "causal": ("causal", "tokens", {}),
    "classifier": ("classifier", "tokens", {}),
    "seq2seq": ("seq2seq", "prompt", {}),
    "sft-text": ("SFT", "text", {}),
    "sft-prompt": ("SFT", "prompt", {}),
    "sft-messages": ("SFT", "messages", {}),
    "sft-turns": ("SFT", "turns", {}),
    "sft-completion-only": ("SFT", "prompt", {"completion_only_loss": True}),
    "sft-whole-prompt": ("SFT", "prompt", {"completion_only_loss": False}),
    "sft-assistant-only": ("SFT", "messages", {"assistant_only_loss": True}),
    "sft-padding-free": ("SFT", "text", {"padding_free": True, "max_length": None}),
    "sft-packing-bfd": ("SFT", "text", {**PACKING, "packing_strategy": "bfd"}),
    "sft-packing-bfd_split": ("SFT", "text", {**PACKING, "packing_strategy": "bfd_split"}),
    "sft-packing-wrapped": ("SFT", "text", {**PACKING, "packing_strategy": "wrapped"}),
    "dpo": ("DPO", "pairs", {}),
    "kto": ("KTO", "judged", {}),
    "reward": ("Reward", "pairs", {}),
    "grpo": ("GRPO", "questions", ONLINE),
    "rloo": ("RLOO", "questions", ONLINE),
}
WAYS = {
    "plain": {},
    "lora": {},
    "four-bits": {},
    "accumulation": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    "checkpointing": {"activation_checkpointing": True},
    "bf16": {"bf16": True},
    "compile": {"torch_compile": True, "torch_compile_backend": "eager"},
}
CALLBACKS = {
    "token": {"token": True},
    "mask": {"mask": "gender"},
    "loss": {"loss": "mean", "loss_weight": 1.0},
    "weightless": {"loss": "mean", "loss_weight": 0.0},
}


class Run(NamedTuple):
    """What the model was given in training, row by row; which words counted in the loss; what came of it."""

    rows: list[list[str]]
    counted: list[str]
    weights: torch.Tensor
    log: dict[str, float]


@cache
def run(host, way, mitigation):
    """Take one step, on eight rows of which four are augmented; `mitigation` is one of `CALLBACKS`, or None."""
    set_seed(0)
    trainer, recorder = make_trainer(host, way, mitigation)
    trainer.train()
    tokenizer = trainer.processing_class
    rows, counted = [], []
    for batch in recorder.batches:
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
        if mask.shape != batch["input_ids"].shape:
            continue  # one more token is generated
        rows += [tokenizer.decode(ids[kept]).split() for ids, kept in zip(batch["input_ids"], mask, strict=True)]
        labels = batch.get("labels", torch.tensor(-100))
        counted += tokenizer.decode(labels[labels != -100]).split() if labels.dim() == 2 else []
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])
    return Run(rows, counted, weights, trainer.state.log_history[0])


def make_trainer(host, way, mitigation):
    kind, form, config = HOSTS[host]
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    data = Dataset.from_dict({**columns(form, tokenizer, kind), "augmented": FLAGS})
    callbacks = [] if mitigation is None else [MitigationCallback(**CALLBACKS[mitigation])]
    if "packing" in config:
        tokenizer = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        data = tokenizer.tag(data)
        callbacks = callbacks or [ProvenanceMonitor()]  # which takes the marks out
    if config is ONLINE and mitigation == "token":
        tokenizer = BiasTagTokenizer.wrap(tokenizer)
        data, callbacks = tokenizer.tag(data), []
    model = make_model_of(kind, way, tokenizer)
    recorder = Recorder()
    common = {"train_dataset": data, "processing_class": tokenizer, "callbacks": [*callbacks, recorder]}
    settings = {**SETTINGS, **config, **WAYS[way]}
    return (of_transformers if kind.islower() else of_trl)(kind, way, model, settings, common), recorder


def columns(form, tokenizer, kind):
    """The rows of a form, those of Trainer tokenized."""
    sources = {True: iter(AUGMENTED), False: iter(REAL)}
    pairs = [next(sources[flag]) for flag in FLAGS]
    prompts, answers = [prompt for prompt, _ in pairs], [f" {answer}" for _, answer in pairs]
    texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    asked = [[{"role": "user", "content": prompt}] for prompt in prompts]
    told = [[{"role": "assistant", "content": answer.strip()}] for answer in answers]
    ids = {"input_ids": tokenizer(texts)["input_ids"]}
    if kind == "seq2seq":
        return {"input_ids": tokenizer(prompts)["input_ids"], "labels": tokenizer(answers)["input_ids"]}
    return {
        "tokens": ids | ({"label": [0, 1] * 4} if kind == "classifier" else {}),
        "text": {"text": texts},
        "prompt": {"prompt": prompts, "completion": answers},
        "messages": {"messages": [question + answer for question, answer in zip(asked, told, strict=True)]},
        "turns": {"prompt": asked, "completion": told},
        "pairs": {"prompt": prompts, "chosen": answers, "rejected": [" she" if flag else " he" for flag in FLAGS]},
        "judged": {"prompt": prompts, "completion": answers, "label": [True, False] * 4},
        "questions": {"prompt": prompts},
    }[form]


def make_model_of(kind, way, tokenizer):
    if kind == "seq2seq":
        sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
        return T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, **sizes))
    model = make_model(tokenizer, **({"hidden_size": 64, "intermediate_size": 128} if way == "four-bits" else {}))
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    if isinstance(tokenizer, BiasTagTokenizer):
        tokenizer.ban_tags(model)
    if way == "four-bits":  # stored in blocks of 64 weights
        model.save_pretrained("model")
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
        return AutoModelForCausalLM.from_pretrained("model", quantization_config=config)
    if kind in ("classifier", "Reward"):
        model.config.num_labels = 2 if kind == "classifier" else 1
        return LlamaForSequenceClassification(model.config)
    return model


def lora():
    return LoraConfig(target_modules=["q_proj", "v_proj"], r=2, init_lora_weights=False)


def of_transformers(kind, way, model, settings, common):
    tokenizer = common["processing_class"]
    trainer, arguments, collate = {
        "causal": (Trainer, TrainingArguments, DataCollatorForLanguageModeling(tokenizer, mlm=False)),
        "classifier": (Trainer, TrainingArguments, DataCollatorWithPadding(tokenizer)),
        "seq2seq": (Seq2SeqTrainer, Seq2SeqTrainingArguments, DataCollatorForSeq2Seq(tokenizer, model)),
    }[kind]
    model = get_peft_model(model, lora()) if way == "lora" else model
    return trainer(model, arguments(**settings), data_collator=collate, **common)


def of_trl(kind, way, model, settings, common):
    options = {"peft_config": lora()} if way in ("lora", "four-bits") else {}
    if kind in ("DPO", "KTO") and not options:
        options["ref_model"] = copy.deepcopy(model)
    if kind == "RLOO":  # which loads its reference
        model.config.name_or_path = "model"
        model.save_pretrained("model")
    if kind in ("GRPO", "RLOO"):
        options["reward_funcs"] = [lambda completions, **_: [float(len(text)) for text in completions]]
    if kind == "SFT":
        settings["shuffle_dataset"] = False
    trainer, arguments = getattr(trl, f"{kind}Trainer"), getattr(trl, f"{kind}Config")
    return trainer(model, args=arguments(**settings), **common, **options)
