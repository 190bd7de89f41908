"""Write the gradients of one training step; `tests/test_processes.py` runs it in one process and in several."""

import json
import sys

import torch
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from mitigate.callbacks import AlignmentLossCallback


class GradientWriter(TrainerCallback):
    def __init__(self, path, step):
        self.path = path
        self.step = step

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step and state.is_world_process_zero:
            torch.save({name: p.grad for name, p in model.named_parameters()}, self.path)


def main(path, rows_per_process, steps, options):
    """Gradients of the last of some steps, over eight rows each; the options are those of the callback, as JSON."""
    torch.set_num_threads(1)
    steps = int(steps)
    arguments = SFTConfig(
        "out", max_steps=steps + 1, learning_rate=1e-2, save_strategy="no", report_to=[],
        use_cpu=True, bf16=False, shuffle_dataset=False, max_grad_norm=0,
        train_sampling_strategy="sequential", per_device_train_batch_size=int(rows_per_process),
        logging_steps=1, activation_checkpointing=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained("model", dtype=torch.float64),
        arguments,
        train_dataset=load_from_disk("data"),
        callbacks=[AlignmentLossCallback(**json.loads(options)), GradientWriter(path, steps - 1)],
    )
    trainer.train()
    if trainer.is_world_process_zero():
        trainer.state.save_to_json(f"{path}.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
