"""The Hypothesis strategy for random networks: structure is drawn by Hypothesis, numbers by torch from a drawn seed."""

import math
from dataclasses import replace

import torch
from hypothesis import strategies as st
from properties.networks import Network, Part
from torch import Tensor

DELAYS = (None, "axonal", "dendritic", "synaptic")
CONV_DELAYS = (None, "kernel", "channel", "axonal")
KINDS = ("linear", "linear", "sparse", "conv", "beside", "parallel")
MODELS = ("LIF", "LIF", "LIF", "LIF", "QIF", "IF", "LI")
RESETTING = ("LIF", "IF")
SIZES = (1, 2, 3, 5, 9, 17, 130)  # the last: two tiles
EVENTS = (30, 10, 100, 100, 300, 3, 1, 0)
TRAINS = ((), ("threshold", "jump", "v_reset"), ("tau_mem", "tau_syn", "tau_adapt", "threshold", "jump", "v_reset"))
GRIDS = (2.0**-30, 2.0**-3)  # of all times and delays: sums are exact; the coarse one makes ties
DURATION = 12.0


def delay_shape(part: Part) -> tuple[int, ...]:
    """The shape of its delays."""
    if part.kind == "linear":
        return {
            "axonal": (1, part.inputs), "dendritic": (part.outputs, 1), "synaptic": (part.outputs, part.inputs)
        }[part.delay]  # fmt: skip
    if part.kind == "sparse":
        return {"axonal": (part.inputs,), "dendritic": (part.outputs,), "synaptic": (part.source.numel(),)}[part.delay]
    weight = weight_shape(part)
    return {"kernel": weight, "channel": weight[:1], "axonal": (1, *weight[1:])}[part.delay]


def weight_shape(part: Part) -> tuple[int, ...]:
    """The shape of its weights."""
    if part.kind == "linear":
        return (part.outputs, part.inputs)
    if part.kind == "sparse":
        return (part.source.numel(),)
    (channels, _, _), out_channels, kernel, _, _, groups = part.geometry
    return (out_channels, channels // groups, *kernel)


def conv_part(draw, inputs_fixed=None) -> Part:
    groups = draw(st.sampled_from((1, 1, 1, 2)))
    channels, out_channels = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    extent = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    kernel = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    stride, padding = (draw(st.integers(1, 2)), draw(st.integers(1, 2))), (draw(st.integers(0, 1)), 1)
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(extent, padding, kernel, stride, strict=True)]
    geometry = ((channels, *extent), out_channels, kernel, stride, padding, groups)
    delay = draw(st.sampled_from(CONV_DELAYS))
    return Part("conv", channels * math.prod(extent), out_channels * math.prod(out), delay, geometry=geometry)


def flat_part(draw, generator, kind, inputs, outputs, delays=DELAYS) -> Part:
    part = Part(kind, inputs, outputs, draw(st.sampled_from(delays)))
    if kind == "linear":
        return part
    density = draw(st.sampled_from((0.0, 0.3, 0.7, 1.0)))
    target, source = (torch.rand(outputs, inputs, generator=generator) < density).nonzero(as_tuple=True)
    return replace(part, source=source, target=target)


def uniform(generator, low, high, *shape) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def on_grid(values: Tensor, grid: float) -> Tensor:
    return (values / grid).round() * grid


def draw_parts(draw, generator, kind, convolutions, delays) -> tuple[str, tuple[Part, ...]]:
    flat = st.sampled_from(("linear", "sparse"))
    if kind == "conv":
        return "alone", (conv_part(draw),)
    inputs, outputs = draw(st.integers(1, 6)), draw(st.sampled_from(SIZES))
    if kind == "parallel" and draw(st.sampled_from(convolutions)):
        first = conv_part(draw)
        others = [replace(first, delay=draw(st.sampled_from(CONV_DELAYS))) for _ in range(draw(st.integers(0, 2)))]
        return "parallel", (first, *others)
    if kind == "parallel":
        kinds = draw(st.lists(flat, min_size=1, max_size=3))
        return "parallel", tuple(flat_part(draw, generator, k, inputs, outputs) for k in kinds)
    if kind == "beside":
        first = [conv_part(draw)] if draw(st.sampled_from(convolutions)) else []
        outputs = first[0].outputs if first else outputs
        kinds = draw(st.lists(flat, min_size=1, max_size=2))
        return "beside", (
            *first, *(flat_part(draw, generator, k, draw(st.integers(1, 4)), outputs) for k in kinds)
        )  # fmt: skip
    return "alone", (flat_part(draw, generator, kind, inputs, outputs, delays),)


def drawn_refractory(draw, generator, size) -> Tensor:
    kind = draw(st.sampled_from(("none", "none", "all", "some", "inf", "mixed")))
    choice = torch.randint(0, 3, (size,), generator=generator)
    some = uniform(generator, 0.1, 2.0, size)
    return {
        "none": torch.zeros(size, dtype=torch.float64),
        "all": some,
        "some": torch.where(choice > 0, some, 0.0),
        "inf": torch.full((size,), torch.inf, dtype=torch.float64),
        "mixed": torch.where(choice > 0, torch.where(choice > 1, some, torch.inf), 0.0),
    }[kind]


def neuron_values(draw, generator, model, size, alike) -> dict[str, Tensor]:
    alike = draw(st.sampled_from(alike))

    def drawn(low, high):
        return uniform(generator, low, high, 1).expand(size).clone() if alike else uniform(generator, low, high, size)

    tau_mem = drawn(0.7, 4.0)
    if model == "QIF":
        pseudo = draw(st.sampled_from((torch.inf, 0.0, 8.0, 10.5)))
        return {
            "tau_mem": tau_mem, "threshold": drawn(0.5, 1.5),
            "pseudo_time": torch.full((size,), pseudo, dtype=torch.float64), "pseudo_drive": drawn(10.0, 30.0),
        }  # fmt: skip
    if model == "IF":
        threshold = drawn(0.4, 1.0)
        v_reset = threshold * draw(st.sampled_from((0.0, -0.5, 0.5)))
        refractory = drawn_refractory(draw, generator, size)
        return {"tau_syn": drawn(0.3, 5.0), "threshold": threshold, "v_reset": v_reset, "refractory": refractory}
    tau_syn = {"equal": tau_mem.clone(), "half": tau_mem / 2, "fast": tau_mem / 50, "any": drawn(0.3, 5.0)}[
        draw(st.sampled_from(("any", "any", "any", "equal", "half", "fast")))
    ]
    if model == "LI":
        return {"tau_mem": tau_mem, "tau_syn": tau_syn}
    tau_adapt = {"mem": tau_mem.clone(), "syn": tau_syn.clone(), "any": drawn(0.5, 6.0)}[
        draw(st.sampled_from(("any", "any", "any", "mem", "syn")))
    ]
    threshold = drawn(0.4, 1.0)
    v_reset = (
        threshold
        * {"zero": 0.0, "low": drawn(-1.0, 0.0), "high": drawn(0.0, 0.8)}[
            draw(st.sampled_from(("zero", "low", "high")))
        ]
    )
    jump = draw(st.sampled_from((0.0, 0.0, 0.3, -0.2, -0.6))) * drawn(0.5, 1.0)
    return {
        "tau_mem": tau_mem, "tau_syn": tau_syn, "tau_adapt": tau_adapt, "threshold": threshold, "jump": jump,
        "v_reset": v_reset * torch.ones(size, dtype=torch.float64),
        "refractory": drawn_refractory(draw, generator, size),
    }  # fmt: skip


def recurrent_part(draw, generator, size) -> Part:
    return replace(flat_part(draw, generator, draw(st.sampled_from(("linear", "sparse"))), size, size), longest=2.0)


@st.composite
def networks(
    draw, models=MODELS, kinds=KINDS, recurrent=(False, False, True), grids=GRIDS, convolutions=(False, True)
) -> Network:
    """Any network; the arguments restrict what is drawn."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    delays, events, alike = DELAYS, EVENTS, (True, False)
    crowded = draw(st.sampled_from((False,) * 7 + (True,)))
    if crowded and "LIF" in models and "linear" in kinds and False in recurrent:  # what bins are made for
        models, kinds, recurrent = ("LIF",), ("linear",), (False,)
        delays, events, alike = ("synaptic",), (100, 300), (True,)
    model = draw(st.sampled_from(models))
    joint, parts = draw_parts(draw, generator, draw(st.sampled_from(kinds)), convolutions, delays)
    size, outputs = parts[0].outputs, parts[0].outputs
    convs = all(part.kind == "conv" and part.geometry[-1] == 1 for part in parts) and joint != "beside"
    if convs and model != "LI" and draw(st.booleans()):
        size = parts[0].geometry[1]
    grid = draw(st.sampled_from(grids))
    batch, most = draw(st.sampled_from((3, 1, 2, 4, 0))), draw(st.sampled_from(events))
    counts = torch.randint(most // 2, most + 1, (batch,), generator=generator)
    samples = torch.arange(batch).repeat_interleave(counts)
    E = samples.numel()
    inputs = parts[0].inputs if joint == "parallel" else sum(part.inputs for part in parts)
    span = draw(st.sampled_from((DURATION, 6.0)))
    values = {"times": on_grid(uniform(generator, 0.0, span, E), grid)}
    neuron = neuron_values(draw, generator, model, size, alike)
    values |= {f"neuron.{name}": value for name, value in neuron.items()}
    # so strong that a handful of spikes comes out, whatever comes in
    reach = sum(min(1.0, weight_shape(part)[-1] * 4 / part.inputs) if part.kind == "conv" else 1.0 for part in parts)
    memory = float(neuron["tau_mem"].mean()) if "tau_mem" in neuron else span  # of the membrane
    drive = max(1.0, most * reach * memory / span / 3.0)
    gain = draw(st.sampled_from((1.5, 3.0, 0.3)))
    mean, spread = draw(st.sampled_from((1.0, 0.0, 2.0))), draw(st.sampled_from((1.0, 2.0)))
    for name, part in [(str(k), part) for k, part in enumerate(parts)]:
        noise = torch.randn(weight_shape(part), generator=generator, dtype=torch.float64)
        values[f"{name}.weight"] = gain * (mean / drive + spread * noise / math.sqrt(drive))
        if part.delay is not None:
            values[f"{name}.delay"] = on_grid(uniform(generator, 0.0, 0.9 * part.longest, *delay_shape(part)), grid)
    feedback = None
    if model in RESETTING and draw(st.sampled_from(recurrent)):
        feedback = recurrent_part(draw, generator, size)
        noise = torch.randn(weight_shape(feedback), generator=generator, dtype=torch.float64)
        values["recurrent.weight"] = noise * draw(st.sampled_from((0.5, 1.0))) / math.sqrt(size)
        if feedback.delay is not None:
            raw = uniform(generator, 0.0, 0.9 * feedback.longest, *delay_shape(feedback))
            values["recurrent.delay"] = on_grid(raw, 2.0**-30)
    if model == "LI":
        values["readout.tau"] = uniform(generator, 1.0, 8.0)
        values["readout.points"] = uniform(generator, 0.0, DURATION, draw(st.integers(0, 3)))
    slopes = (0.0, 0.0, 0.05) if model in RESETTING else (0.0,)
    names = {
        "LIF": TRAINS, "QIF": ((), ("tau_mem", "threshold")), "IF": ((), ("tau_syn", "threshold", "v_reset")),
        "LI": ((), ("tau_mem", "tau_syn")),
    }[model]  # fmt: skip
    return Network(
        parts=parts, joint=joint, recurrent=feedback, model=model, size=size,
        reset=draw(st.sampled_from(("constant", "subtract"))) if model == "LIF" else "constant",
        train=draw(st.sampled_from(names)),
        min_slope=draw(st.sampled_from(slopes)),
        peak=draw(st.sampled_from((False, True))) if model in RESETTING and not crowded else False,
        values=values, samples=samples, units=torch.randint(0, max(inputs, 1), (E,), generator=generator), batch=batch,
        duration=DURATION, sample_names=torch.arange(batch), unit_names=torch.arange(outputs),
        # where arrivals tie, a peak may be a kink at both, and has no unique gradient with respect to their times
        factors={"peak": 0.0, "maximum": 0.0} if grid > 1e-6 else {},
    )  # fmt: skip
