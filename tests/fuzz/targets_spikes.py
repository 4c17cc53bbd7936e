"""Spikes, arrays of events, and the codes that make events of numbers."""

import copy
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

import saltation as sal
from saltation import data
from saltation.data.statistics import statistics

from . import mutate
from .engine import target

F64 = torch.float64


def use_spikes(spikes: sal.Spikes) -> None:
    """What is accepted can be used."""
    assert len(spikes) == spikes.num_samples and repr(spikes)
    if spikes.num_samples * spikes.num_units < 1 << 20:
        assert int(spikes.counts().sum()) == spikes.times.numel()
        assert (spikes.first() <= spikes.duration).sum() == (spikes.last() >= 0).sum()
    assert spikes.times.numel() == 0 or 0 <= float(spikes.times.min()) <= float(spikes.times.max()) <= spikes.duration


def use_dataset(dataset: Any) -> None:
    """What is accepted can be described, taken apart and made to batches."""
    assert repr(dataset) and statistics(dataset)
    spikes, labels = dataset.batch(np.arange(len(dataset)))
    assert len(labels) == len(spikes) and spikes.times.numel() == dataset.num_events
    for part in ("train", "validation", "test"):
        dataset.subset(part)


def _tensor(rng: Random, values: Any) -> Any:
    if not isinstance(values, torch.Tensor) or values.layout != torch.strided or not values.numel():
        return mutate.thing(rng)
    if values.requires_grad or values.device.type != "cpu" or not values.dim():
        return values
    how = rng.randrange(8)
    if how == 0:
        dtypes = (torch.float16, torch.float32, F64, torch.int32, torch.int64, torch.bool, torch.complex64, torch.uint8)
        return values.to(rng.choice(dtypes))
    if how == 1:
        return rng.choice(
            (values.tolist(), values.numpy(), None, 3, "x", values[None], values.reshape(-1, 1), values[:0])
        )
    if how == 2 and values.dtype not in (torch.uint16, torch.uint32, torch.uint64):
        return rng.choice((values.to_sparse(), values.to("meta"), torch.cat([values, values]), values[::2], values[0]))
    if how == 3 and values.dtype == F64:
        return values.clone().requires_grad_()
    changed = mutate.array(rng, values.numpy())
    if changed.dtype.kind not in "fiub" or not changed.dtype.isnative or changed.dtype.itemsize > 8:
        return changed
    return torch.from_numpy(changed.copy(order=rng.choice("CF")))


def _fields(rng: Random) -> dict[str, Any]:
    counts = [rng.choice((0, 1, 3)) for _ in range(rng.choice((0, 1, 2, 5)))]
    times = [time for count in counts for time in sorted(rng.uniform(0, 2) for _ in range(count))]
    return {
        "times": torch.tensor(times, dtype=F64),
        "units": torch.tensor([rng.randrange(4) for _ in times], dtype=torch.int64),
        "offsets": torch.tensor([0, *np.cumsum(counts, dtype=int).tolist()]),
        "num_units": 4,
        "duration": 2.0,
    }


@target(260_000, ValueError, TypeError)
def spikes(rng: Random, folder: Path) -> Callable[[], Any]:
    fields = _fields(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        name = rng.choice(list(fields))
        fields[name] = _tensor(rng, fields[name])
    return lambda: use_spikes(sal.Spikes(**fields))


@target(120_000, ValueError, TypeError)
def spikes_lists(rng: Random, folder: Path) -> Callable[[], Any]:
    samples: Any = [
        [[rng.uniform(0, 1), rng.randrange(3)] for _ in range(rng.randrange(4))] for _ in range(rng.randrange(1, 4))
    ]
    if rng.random() < 0.8:
        samples = mutate.tree(rng, samples)
    units = mutate.thing(rng) if rng.random() < 0.1 else 3
    duration = mutate.thing(rng) if rng.random() < 0.1 else 1.0

    def call() -> None:
        spikes = sal.Spikes.from_lists(samples, units, duration)
        use_spikes(spikes)
        assert sum(map(len, spikes.to_lists())) == spikes.times.numel()

    return call


@target(60_000, ValueError, TypeError)
def spikes_dense(rng: Random, folder: Path) -> Callable[[], Any]:
    steps = rng.randrange(1, 5)
    raster: Any = torch.tensor([[[rng.choice((0, 0, 1, 2)) for _ in range(3)] for _ in range(steps)] for _ in range(2)])
    raster = raster.to(rng.choice((F64, torch.float32, torch.int64, torch.uint8)))
    if rng.random() < 0.7:
        raster = _tensor(rng, raster)
    dt, other = (mutate.thing(rng) if rng.random() < 0.2 else 0.25 for _ in range(2))

    def call() -> None:
        made = sal.Spikes.from_dense(raster, dt, time_first=False)
        use_spikes(made)
        again = made.to_dense(other, time_first=False)
        assert int(again.sum()) == made.times.numel() or made.times.numel() > 1 << 24

    return call


def events(rng: Random) -> dict[str, Any]:
    """Valid fields of a data set."""
    counts = [rng.choice((0, 1, 2, 4)) for _ in range(rng.choice((1, 3, 6)))]
    times = [time for count in counts for time in sorted(rng.uniform(0, 1) for _ in range(count))]
    return {
        "times": np.array(times, np.float64),
        "channels": np.array([rng.randrange(5) for _ in times], np.int64),
        "offsets": np.array([0, *np.cumsum(counts, dtype=int).tolist()], np.int64),
        "labels": np.arange(len(counts)) % 2,
        "split": np.arange(len(counts)) % 3,
        "num_channels": 5,
        "num_classes": 2,
        "duration": 1.0,
    }


@target(130_000, ValueError)
def event_arrays(rng: Random, folder: Path) -> Callable[[], Any]:
    fields = events(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        name = rng.choice(list(fields))
        value = fields[name]
        if isinstance(value, np.ndarray) and rng.random() < 0.9:
            fields[name] = mutate.array(rng, value)
        else:
            fields[name] = mutate.thing(rng)
    if rng.random() < 0.1:
        fields["class_names"] = rng.choice((("a", "b"), ("a",), [b"a", b"\xff"], "ab", None, 3, ["a\0", "b"], [1, 2]))
    use = rng.choice(list(_USES))
    odd = mutate.thing(rng) if rng.random() < 0.5 else mutate.array(rng, np.arange(2))

    def call() -> None:
        dataset = data.EventDataset(**fields)
        use_dataset(dataset)
        _USES[use](dataset, odd)

    return call


_USES: dict[str, Callable[[data.EventDataset, Any], Any]] = {
    "fingerprint": lambda dataset, odd: dataset.fingerprint(),
    "take": lambda dataset, odd: use_dataset(dataset.take(odd)),
    "batch": lambda dataset, odd: dataset.batch(odd),
    "subset": lambda dataset, odd: dataset.subset(odd),
    "with_split": lambda dataset, odd: use_dataset(dataset.with_split(odd)),
    "with_validation": lambda dataset, odd: use_dataset(dataset.with_validation(odd, 0)),
    "validation": lambda dataset, odd: use_dataset(dataset.with_validation(0.3, 1)),
    "batches": lambda dataset, odd: list(dataset.batches(odd)),
}


@target(41_500, ValueError)
def codes(rng: Random, folder: Path) -> Callable[[], Any]:
    shape = (3, 2) if rng.random() < 0.6 else (3, 2, 4)
    values = np.array([rng.random() for _ in range(int(np.prod(shape)))]).reshape(shape)
    if rng.random() < 0.7:
        values = mutate.array(rng, values)
    labels, split = np.array([0, 1, 1]), np.array([0, 1, 2])
    if rng.random() < 0.1:
        labels = mutate.array(rng, labels)
    if rng.random() < 0.1:
        split = mutate.array(rng, split)
    options: dict[str, Any] = {}
    if len(shape) == 3 and rng.random() < 0.8:
        code: Any = data.level_crossing
        options = {"dt": 0.1, "delta": 0.3}
    elif len(shape) == 3:
        code, options = data.from_dense, {"dt": 0.1}
        values = np.floor(values * 3) if values.dtype.kind == "f" and values.dtype.itemsize == 8 else values
    else:
        code = rng.choice((data.latency, data.population))
        options = {"t_early": 0.15, "t_late": 2.0, "duration": 6.0}
        if code is data.population:
            options |= {"neurons": 8, "low": 0.0, "high": 1.0, "weakest": 0.1}
    if rng.random() < 0.4:
        options[rng.choice(list(options))] = mutate.number(rng)
    return lambda: use_dataset(code(values, labels, split, **options))


@target(2_000, ValueError, seconds=5.0)
def audio(rng: Random, folder: Path) -> Callable[[], Any]:
    waves: Any = [np.array([rng.uniform(-1, 1) for _ in range(rng.choice((1, 40, 200)))]) for _ in range(2)]
    if rng.random() < 0.6:
        waves[0] = mutate.array(rng, waves[0])
    options: dict[str, Any] = {"channels": 3, "lowest": 100.0, "highest": 2000.0, "step": 3.0, "dynamic_range": 40.0}
    options |= {"smoothing": 50.0}
    rate: Any = 8000.0
    how = rng.random()
    if how < 0.4:
        options[rng.choice(list(options))] = mutate.number(rng)
    elif how < 0.5:
        rate = mutate.number(rng)
    elif how < 0.55:
        waves = waves[: rng.randrange(2)]
    return lambda: use_dataset(data.audio_events(copy.copy(waves), rate, np.array([0, 1]), np.array([0, 2]), **options))
