"""`saltation train` in float64, started by torchrun: python -m torch.distributed.run ... in_processes.py ARGUMENTS.

With DIE=EPOCH in the environment, process 1 of the first attempt is killed after that epoch.
"""

import os
import signal
import sys

import torch

from saltation.cli import main
from saltation.train import loop

torch.set_default_dtype(torch.float64)

if "DIE" in os.environ and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    real = loop.train_epoch

    def until_killed(config, objective, data, state, progress):
        if state.epoch == int(os.environ["DIE"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(config, objective, data, state, progress)

    loop.train_epoch = until_killed

sys.exit(main(sys.argv[1:]))
