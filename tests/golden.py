"""Golden values: spikes and gradients of about a hundred small problems, kept in golden.safetensors.

    python tests/golden.py            compute all of them and say what differs from what is kept
    python tests/golden.py --write    keep what is computed now (after a change that is meant to change results)
    python tests/golden.py --add      keep the values of new cases, and leave those of all others as they are
    NUMBA_DISABLE_JIT=1 python tests/golden.py --lines    the lines of kernels that no small problem reaches

The problems use nothing but the public API, so that the kernels may be rebuilt beneath them. Each is the first random
one that is well conditioned: if every input moves by a rounding or two, no result moves by more than CONDITIONED of its
scale. So another compiler, CPU or order of summation stays far below TOLERANCE.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from golden_cases import CASES
from safetensors import safe_open
from safetensors.torch import save_file

import saltation as sal

PATH = Path(__file__).with_name("golden.safetensors")
TOLERANCE = 1e-12  # of the largest value of an array
CONDITIONED = 1e-13
NUDGE = 1e-15
KEPT = 120  # values of an array: of a longer one every so many, and the sum
SEEDS = 300


def parameters_of(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def compute(case, model, spikes):
    """{name: float64 or int64 array} of all that comes out, and the smallest slope of a spike."""
    times = spikes.times.clone().requires_grad_()
    spikes = spikes.with_times(times)
    layers = list(model) if isinstance(model, sal.Sequential) else [model]
    ends_in_readout = isinstance(layers[-1].neuron, sal.LI)
    found, loss, slopes = {}, torch.zeros((), dtype=torch.float64), []

    def coefficients(shape):
        return torch.from_numpy(np.cos(np.arange(math.prod(shape)) * 2.4)).view(shape)

    results = model.run(spikes, peak=case.peak) if len(layers) > 1 else [None if ends_in_readout else
        model.run(spikes, peak=case.peak)]  # fmt: skip
    for k, result in enumerate(results[: len(results) - ends_in_readout]):
        output = result.spikes
        found |= {f"{k} times": output.times, f"{k} units": output.units, f"{k} offsets": output.offsets}
        weight = coefficients(output.times.shape)
        loss = loss + (weight * torch.sin(output.times + weight)).sum()
        slopes += result.slopes[result.slopes.isfinite()].tolist()
        if output.ghosts is not None:  # the gradient of their times is that of their strengths
            found |= {f"{k} ghosts": output.ghosts.times, f"{k} ghost units": output.ghosts.units}
            loss = loss + (coefficients(output.ghosts.times.shape) * output.ghosts.times).sum()
        if case.peak:
            found[f"{k} peak"] = result.peak
            loss = loss + (coefficients(result.peak.shape) * torch.sin(result.peak)).sum()
    if ends_in_readout:
        end = results[-1] if len(layers) > 1 else model(spikes)
        values = {"integral": end.integral(), "weighted": end.weighted(3.0), "maximum": end.maximum(),
                  "at": end.at([0.5, 3.0, spikes.duration])}  # fmt: skip
        found |= values
        for value in values.values():
            loss = loss + (coefficients(value.shape) * torch.sin(value)).sum()
    parameters = {"input times": times} | parameters_of(model)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        found[f"d {name}"] = torch.zeros_like(parameter) if gradient is None else gradient
    return {name: value.detach().numpy() for name, value in found.items()}, min(slopes, default=math.inf)


def build(case, seed, nudge=0.0):
    """Model and input of a case; nudge: by how much, relatively, every number is moved, this way or that."""
    model, spikes = case.build(np.random.default_rng(seed))
    if nudge:
        rng = np.random.default_rng(seed + 1)
        with torch.no_grad():
            for value in [*model.parameters(), spikes.times]:
                value *= 1.0 + nudge * (2.0 * torch.from_numpy(rng.random(value.shape)) - 1.0)
    return model, spikes


def thinned(value):
    """What is kept of an array: all of a short one."""
    flat = value.reshape(-1)
    if flat.size <= KEPT:
        return flat
    return np.concatenate([flat[:: -(-flat.size // KEPT)], flat.sum(keepdims=True)])


def distance(ours, kept):
    """The largest difference of any array relative to its largest value; inf where spikes differ."""
    worst = 0.0
    if ours.keys() != kept.keys():
        return math.inf
    for name, value in ours.items():
        if value.shape != kept[name].shape or (value.dtype == np.int64 and (value != kept[name]).any()):
            return math.inf
        if value.dtype != np.int64 and value.size:
            scale = max(np.abs(kept[name]).max(), 1e-3)
            worst = max(worst, float(np.abs(value - kept[name]).max() / scale))
    return worst


def same_bits(ours, kept):
    return all(value.tobytes() == kept[name].tobytes() for name, value in ours.items())


def find(case):
    """The first seed that makes a well-conditioned problem with spikes, and its values."""
    for seed in range(SEEDS):
        try:
            values, slope = compute(case, *build(case, seed))
        except sal.SpikeBudgetError:
            continue
        number = sum(value.size for name, value in values.items() if name.endswith(" units"))
        quiet = case.name.startswith(("readout", "silent", "no events"))
        if slope < 0.1 or number > case.most or (number < 6) != quiet:
            continue
        nudged, _ = compute(case, *build(case, seed, NUDGE))
        if distance(nudged, values) < CONDITIONED:
            return seed, {name: thinned(value) for name, value in values.items()}
    raise AssertionError(f"{case.name}: no well-conditioned problem among {SEEDS}")


def write(seeds, kept):
    """Find all problems that are not in the file's `seeds`, and keep their values beside those in `kept`."""
    for case in CASES.values():
        if case.name not in seeds:
            seeds[case.name], kept[case.name] = find(case)
            print(f"{seeds[case.name]:4d}  {case.name}", flush=True)
    arrays = {
        f"{case}: {name}": torch.from_numpy(x.copy()) for case, found in kept.items() for name, x in found.items()
    }
    save_file(arrays, PATH, metadata={"seeds": json.dumps(seeds)})


def read():
    """({case: seed}, {case: {name: array}}) of the file."""
    kept = {}
    with safe_open(PATH, "numpy") as file:
        seeds = json.loads(file.metadata()["seeds"])
        for key in file.keys():  # noqa: SIM118  # no mapping
            case, name = key.split(": ", 1)
            kept.setdefault(case, {})[name] = file.get_tensor(key)
    return seeds, kept


def current(case, seed):
    """The values of a case as they are now."""
    values, _ = compute(case, *build(case, seed))
    return {name: thinned(value) for name, value in values.items()}


def report():
    """Every case, and by how much it differs."""
    seeds, kept = read()
    for case in CASES.values():
        values = current(case, seeds[case.name])
        off = distance(values, kept[case.name])
        print(f"{'same bits' if same_bits(values, kept[case.name]) else f'{off:9.1e}'}  {case.name}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["--write"]:
        write({}, {})
    elif sys.argv[1:] == ["--add"]:
        write(*read())
    elif sys.argv[1:] == ["--lines"]:
        from kernel_calls import unreached_lines

        seeds, _ = read()
        small = [case for case in CASES.values() if not case.large]
        print("\n".join(unreached_lines(lambda: [current(case, seeds[case.name]) for case in small])))
    else:
        report()
