"""Run one of TRL's own scripts with a callback added; `tests/test_trl_scripts.py` says which."""

import functools
import runpy
import sys

import trl

from mitigate.callbacks import MitigationCallback

trainer, script = sys.argv.pop(1), sys.argv.pop(1)
callback = MitigationCallback(token=True, mask="gender", loss="mean", loss_weight=0.5)
setattr(trl, trainer, functools.partial(getattr(trl, trainer), callbacks=[callback]))
runpy.run_module(script, run_name="__main__")
