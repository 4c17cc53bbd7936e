"""`saltation train` in float64, started by torchrun: python -m torch.distributed.run ... in_processes.py ARGUMENTS.

Several trainings one after the other, each with its ARGUMENTS and `and` between them, share one process group: starting
processes takes longer than they do. With DIE=EPOCH in the environment, process 1 of the first attempt is killed after
that epoch.
"""

import os
import signal
import sys

import torch
import torch.distributed as dist

from saltation.cli import main
from saltation.environment import leave
from saltation.train import loop

torch.set_default_dtype(torch.float64)

if "DIE" in os.environ and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    real = loop.train_epoch

    def until_killed(config, objective, data, state, progress):
        if state.epoch == int(os.environ["DIE"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(config, objective, data, state, progress)

    loop.train_epoch = until_killed

words = sys.argv[1:]
ends = [k for k, word in enumerate(words) if word == "and"] + [len(words)]
if len(ends) > 1:
    dist.init_process_group("gloo")
codes = [main(words[begin:end]) for begin, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]
if len(ends) > 1:
    dist.destroy_process_group()
leave(max(codes))
