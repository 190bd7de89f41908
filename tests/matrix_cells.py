"""
The cells of the test matrix: where the mitigations are shown to act, or to be refused.

`tests/test_matrix.py` tests each of them with each mitigation, and that the table of the README says the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MITIGATIONS = ("token", "mask", "loss")


@dataclass(frozen=True)
class Cell:
    """
    A trainer on rows of some form, in a way of training.

    Args:
        row (`str`):
            The row of the README's table that it belongs to.
        host (`str`):
            Trainer and rows, one of `tests.matrix_runs.HOSTS`.
        way (`str`, *optional*, defaults to `"plain"`):
            How it trains, one of `tests.matrix_runs.WAYS`.
        refused (`Mapping[str, str]`, *optional*):
            Mitigations with which training does not start, and what the error says (a regular expression).
    """

    row: str
    host: str
    way: str = "plain"
    refused: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.host}-{self.way}" if self.way != "plain" else self.host


def _cells(row: str, *hosts: str, ways: tuple[str, ...] = ("plain",), **refused: str) -> list[Cell]:
    return [Cell(row, host, way, refused) for host in hosts for way in ways]


_ONLINE = "Online trainers write their rows themselves: there, tag the prompts"
# Of hosts that differ in the form of the texts alone, one stands for all.
_EACH_KIND = (
    *("causal", "classifier", "sft-text", "sft-prompt", "sft-padding-free", "sft-packing-bfd", "sft-packing-wrapped"),
    *("dpo", "kto", "reward"),
)

CELLS = [
    *_cells("`Trainer`: causal language model, sequence classifier", "causal", "classifier"),
    *_cells("`Seq2SeqTrainer`: encoder-decoder", "seq2seq", loss="the model is an encoder-decoder"),
    *_cells(
        "`SFTTrainer`: plain text, prompt and completion, conversations",
        *("sft-text", "sft-prompt", "sft-messages", "sft-turns"),
    ),
    *_cells(
        "`completion_only_loss`, `assistant_only_loss`",
        *("sft-completion-only", "sft-whole-prompt", "sft-assistant-only"),
    ),
    *_cells("padding-free", "sft-padding-free"),
    *_cells(
        "packing `bfd`, `bfd_split`, `wrapped`, with hidden marks",
        *("sft-packing-bfd", "sft-packing-bfd_split", "sft-packing-wrapped"),
    ),
    *_cells("`DPOTrainer`, `KTOTrainer`, `RewardTrainer`", "dpo", "kto", "reward"),
    *_cells("`GRPOTrainer`, `RLOOTrainer`", "grpo", "rloo", mask=_ONLINE, loss=_ONLINE),
    *_cells("LoRA", *_EACH_KIND, ways=("lora",)),
    *_cells("LoRA on a model in four bits (bitsandbytes)", "sft-text", ways=("four-bits",)),
    *_cells("gradient accumulation, gradient checkpointing", *_EACH_KIND, ways=("accumulation", "checkpointing")),
    *_cells("bf16", *_EACH_KIND, ways=("bf16",)),
    *_cells("`torch.compile`", "sft-text", "classifier", ways=("compile",)),
]

# Rows of the README's table that other files show: the file, the test, and the marks.
ELSEWHERE = {
    "two processes: DDP, FSDP2, DeepSpeed ZeRO-2 and ZeRO-3": (
        "test_distributed",
        "test_processes_together_train_the_model_that_one_trains",
        ("✓", "✓", "✓"),
    ),
    "`nn.DataParallel`; tensor, context and sequence parallelism; DeepSpeed in fp16": (
        "test_hosts",
        "TestParallelism",
        ("not tested", "not tested", "refused"),
    ),
}
