"""Parameter groups, learning-rate schedule, gradient norm and the moving average of the parameters."""

import math
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from saltation.optim import parameter_groups
from saltation.sequential import Sequential
from saltation.train.config import TrainConfig


def make_optimizer(model: Sequential, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW with one group per kind of parameter. Kinds with learning rate 0 are frozen."""
    rates = {
        "weight": config.lr.weight,
        "readout": config.lr.weight if config.lr.readout is None else config.lr.readout,
        "delay": config.lr.delay,
        "threshold": config.lr.threshold,
        "tau": config.lr.tau,
    }
    groups = parameter_groups(model, rates)
    if not groups:
        raise ValueError("nothing is trained: all learning rates are 0; set train.lr.weight")
    for group in groups:
        group |= {"base_lr": group["lr"], "weight_decay": 0.0}
        if group.pop("kind") in ("weight", "readout"):
            group["weight_decay"] = config.weight_decay
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    beta_1, beta_2 = config.betas
    optimizer = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return optimizer(
        groups, betas=(beta_1, beta_2), fused=True
    )  # one pass over the parameters: two to five times faster


def set_learning_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Set every group to its rate at optimizer step `step`; returns the common factor. No state: resume is exact."""
    factor = 1.0
    if config.schedule == "cosine":
        factor = 0.5 * (1.0 + math.cos(math.pi * step / (config.epochs * steps_per_epoch)))
    elif config.schedule == "step":
        factor = config.gamma ** (step // steps_per_epoch // config.step_epochs)
    for group in optimizer.param_groups:
        group["lr"] = factor * group["base_lr"]
    return factor


def clip_gradient(model: Sequential, clip_norm: float, where: str) -> float:
    """Scale the gradient to norm at most `clip_norm` (0: leave it); returns the norm before.

    Raises ValueError if the norm is not finite, naming the parameters.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients])))
    if not math.isfinite(norm):
        bad = [name for name, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
        raise ValueError(
            f"the gradient of {', '.join(bad) or 'all parameters'} is not finite {where}: a spike grazes its "
            "threshold; set model.layers.N.min_slope (for example 1e-3) or a lower learning rate, "
            "and continue from the last checkpoint"
        )
    if 0 < clip_norm < norm:
        for gradient in gradients:
            gradient.mul_(clip_norm / norm)
    return norm


def make_average(model: Sequential, config: TrainConfig) -> AveragedModel | None:
    """A copy of the network that follows the steps of its parameters x, or None where `config.average`, d, is 0.

    average += (1 - min(d, (1 + n) / (10 + n))) (x - average), n = 0, 1, ... the number of steps before; after the first
    one it is x itself. Between legal values lie legal ones: what `constrain_` keeps holds for the average too.
    """

    @torch.no_grad()
    def move(averages: Any, values: Any, steps: torch.Tensor | int) -> None:
        n = int(steps)
        share = 1.0 - min(config.average, (1 + n) / (10 + n))
        for average, value in zip(averages, values, strict=True):
            average.lerp_(value, share)

    return AveragedModel(model, multi_avg_fn=move) if config.average > 0 else None
