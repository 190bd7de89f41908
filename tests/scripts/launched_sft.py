"""Fine-tune with a mitigation in however many processes it is started; `tests/test_distributed.py` starts it."""

import json
import sys
from pathlib import Path
from typing import ClassVar

import torch
from accelerate import PartialState
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from mitigate import MaskConfig
from mitigate.callbacks import AlignmentLossCallback, BiasEvaluationCallback, MitigationCallback
from mitigate.tasks import Source
from mitigate.tasks.hiring import HiringTask
from mitigate.tasks.salary import SalaryTask


class RowWriter(TrainerCallback):
    """Keeps the token ids that this process's model is given, without their padding."""

    def __init__(self):
        self.rows = []
        self.handle = None

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if self.handle is None:  # now that the hooks of the mitigations are there
            self.handle = model.register_forward_pre_hook(self.keep, with_kwargs=True)

    def keep(self, model, args, kwargs):
        if not model.training:
            return
        ids, mask = kwargs["input_ids"].cpu(), kwargs["attention_mask"].cpu()
        self.rows.append([row[seen.bool()].tolist() for row, seen in zip(ids, mask, strict=True)])


class UnlikeTask(HiringTask):
    """In all processes but the first, all answers are Ann from the second evaluation on."""

    evaluations: ClassVar[list[int]] = []

    def score(self, prompts, answers):
        self.evaluations.append(len(answers))
        unlike = len(self.evaluations) > 1 and not PartialState().is_main_process
        return super().score(prompts, ["Ann"] * len(answers) if unlike else answers)


def make_callbacks(mask=None, alignment=None, evaluation=None, **options):
    callbacks = [make_evaluation(**evaluation)] if evaluation else []
    loss = alignment and AlignmentLossCallback(**alignment)
    if mask is None and not options:
        return [*callbacks, *([loss] if loss else [])]
    return [*callbacks, MitigationCallback(mask=mask and MaskConfig(**mask), loss=loss, **options)]


def make_evaluation(unlike=False, **options):
    items = {"source": Source("names.csv"), "jobs": Source("jobs.csv"), "groups": ("a", "b", "c", "d")}
    tasks = [(UnlikeTask if unlike else HiringTask)(**items, panels_per_job=1), SalaryTask(**items, reference="a")]
    return BiasEvaluationCallback(tasks, **options)


def main(out, rows_per_process, mitigation, arguments="{}"):
    """Train for some steps, and leave the model, the logs and each process's rows; both options are JSON."""
    torch.set_num_threads(1)
    options = {
        "max_steps": 4, "learning_rate": 0.1, "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0,
        "save_strategy": "no", "report_to": [], "logging_steps": 1, "use_cpu": True, "bf16": False,
        "shuffle_dataset": False, "train_sampling_strategy": "sequential", "activation_checkpointing": False,
        "disable_tqdm": True, **json.loads(arguments),
    }  # fmt: skip
    config = SFTConfig(f"{out}/checkpoints", per_device_train_batch_size=int(rows_per_process), **options)
    rows = RowWriter()
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained("model", dtype=torch.float32),
        config,
        train_dataset=load_from_disk("data"),
        callbacks=[*make_callbacks(**json.loads(mitigation)), rows],
    )
    trainer.train(resume_from_checkpoint=config.resume_from_checkpoint)
    trainer.save_model(out)
    Path(out, f"rows-{trainer.args.process_index}.json").write_text(json.dumps(rows.rows))
    if trainer.is_world_process_zero():
        trainer.state.save_to_json(f"{out}/state.json")
        kind = f"{trainer.accelerator.distributed_type.value} {trainer.accelerator.num_processes}"
        Path(out, "kind.txt").write_text(f"{kind} {type(trainer.model_wrapped).__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
