"""Run `launched_sft.py` under FSDP2 without a GPU: PyTorch can do that, but accelerate turns to DDP instead."""

import sys

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from launched_sft import main

original = AcceleratorState.__init__


def init(self, *args, fsdp_plugin=None, **kwargs):
    """As accelerate does for processes with a GPU."""
    original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)


AcceleratorState.__init__ = init
main(*sys.argv[1:])
