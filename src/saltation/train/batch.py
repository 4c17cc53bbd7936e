"""The samples of a training step, and the random changes that the settings ask for."""

from functools import partial

import numpy as np
import torch

from saltation.data import augment
from saltation.data.samples import Samples
from saltation.spikes import Spikes
from saltation.train.config import Config, TrainConfig
from saltation.train.processes import Processes


def own_samples(
    data: Samples, indices: np.ndarray, config: Config, generator: torch.Generator, processes: Processes
) -> tuple[Spikes, torch.Tensor]:
    """Spikes and labels of the own share of a batch, changed.

    Every process changes the whole batch, if there is something to change: so what is drawn does not depend on how many
    there are, and two samples that are blended may be in different shares.
    """
    settings, share = config.train, processes.share(len(indices))
    if max(settings.blend, settings.stretch, settings.shift, settings.jitter, settings.drop) == 0:
        return data.batch(indices[share])
    spikes, labels = data.batch(indices)
    spikes = augmented(spikes, labels, settings, config.model.image, generator)
    return (spikes, labels) if processes.count == 1 else (spikes.part(share.start, share.stop), labels[share])


def sent_on(spikes: Spikes, settings: TrainConfig, generator: torch.Generator, processes: Processes) -> Spikes:
    """The spikes of a hidden layer, of the own share of a batch, with the random changes that the settings ask for."""
    if settings.hidden_jitter > 0:
        normal = processes.together(partial(torch.randn, generator=generator))
        spikes = augment.jittered(spikes, settings.hidden_jitter, normal)
    if settings.hidden_drop > 0:
        uniform = processes.together(partial(torch.rand, generator=generator))
        spikes = augment.dropped(spikes, settings.hidden_drop, uniform)
    return spikes


def augmented(
    spikes: Spikes, labels: torch.Tensor, settings: TrainConfig, image: list[int] | None, generator: torch.Generator
) -> Spikes:
    """A batch of training samples with the random changes that the settings ask for."""
    if settings.blend > 0:
        spikes = augment.blend(spikes, labels, settings.blend, generator)
    if settings.stretch > 0:
        spikes = augment.stretch(spikes, settings.stretch, generator)
    if settings.shift > 0 and image is not None:
        spikes = augment.shift_image(spikes, image, settings.shift, generator)
    elif settings.shift > 0:
        spikes = augment.shift_channels(spikes, settings.shift, generator)
    if settings.jitter > 0:
        spikes = augment.jitter(spikes, settings.jitter, generator)
    if settings.drop > 0:
        spikes = augment.drop(spikes, settings.drop, generator)
    return spikes
