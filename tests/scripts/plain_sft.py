"""Fine-tune a causal language model, as anyone would; `tests/test_logging.py` runs it."""

import sys

from datasets import load_from_disk
from trl import SFTConfig, SFTTrainer


def main(model, data, tracker, callbacks=None):
    arguments = SFTConfig("out", max_steps=4, logging_steps=2, report_to=tracker, use_cpu=True, bf16=False)
    trainer = SFTTrainer(model, arguments, train_dataset=load_from_disk(data), callbacks=callbacks)
    trainer.train()
    trainer.save_state()


if __name__ == "__main__":
    main(*sys.argv[1:])
