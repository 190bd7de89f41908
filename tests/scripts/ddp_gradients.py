"""Write the gradients of training steps; `tests/test_processes.py` runs it in one process and in several."""

import json
import sys
from pathlib import Path

import torch
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from mitigate.callbacks import AlignmentLossCallback, DownWeightCallback


class GradientWriter(TrainerCallback):
    def __init__(self, path, step):
        self.path = path
        self.step = step

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step and state.is_world_process_zero:
            torch.save({name: p.grad for name, p in model.named_parameters()}, self.path)


def main(cases, folder, processes):
    """
    Write the gradients of the last of some steps, over eight rows each, and the logs, for every case.

    The cases are a file of JSON: for each its name, the folder of its rows, the steps, and options of the callback,
    which is that of the alignment loss unless the name says otherwise.
    """
    torch.set_num_threads(1)
    for name, case in json.loads(Path(cases).read_text()).items():
        steps = case["steps"]
        kind = DownWeightCallback if name.startswith("down-weight") else AlignmentLossCallback
        arguments = SFTConfig(
            "out", max_steps=steps + 1, learning_rate=1e-2, save_strategy="no", report_to=[],
            use_cpu=True, bf16=False, shuffle_dataset=False, max_grad_norm=0, disable_tqdm=True,
            train_sampling_strategy="sequential", per_device_train_batch_size=8 // int(processes),
            logging_steps=1, activation_checkpointing=False,
        )  # fmt: skip
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained("model", dtype=torch.float64),
            arguments,
            train_dataset=load_from_disk(case["data"]),
            callbacks=[kind(**case["options"]), GradientWriter(f"{folder}/{name}.pt", steps - 1)],
        )
        trainer.train()
        if trainer.is_world_process_zero():
            trainer.state.save_to_json(f"{folder}/{name}.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
