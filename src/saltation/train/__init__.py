"""Training: configurations, the loop, checkpoints and run folders."""

from saltation.extras import need

need("cli", "saltation.train")

from saltation.train.config import Config
from saltation.train.ensemble import evaluate_runs
from saltation.train.evaluate import evaluate
from saltation.train.loop import Interrupted, train
from saltation.train.model import build_model
from saltation.train.recipes import load_config
from saltation.train.run import evaluate_run, load_run

__all__ = [
    "Config", "Interrupted", "build_model", "evaluate", "evaluate_run", "evaluate_runs", "load_config", "load_run",
    "train",
]  # fmt: skip
