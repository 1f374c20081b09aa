"""Runs a train task in a process of its own, which kills itself in the given step (0: not at all).

Usage: checkpoint_script.py FOLDER ATTEMPT STEP
"""

import os
import signal
import sys

import torch

from foedus.launch import JobFolder
from foedus.learn.training import OnStep
from foedus.rounds.tasks import run_task, train


def killing(folder: JobFolder) -> OnStep:
    def report(done: int, total: int, loss: torch.Tensor) -> None:
        print("step", done, flush=True)
        if done == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    return report


torch.set_num_threads(1)
train._reporter = killing
run_task(JobFolder(sys.argv[1], sys.argv[2]))
