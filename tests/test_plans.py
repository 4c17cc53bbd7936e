"""Every way to simulate a layer times every kind of gradient, against central differences.

A table, so that no corner is left to chance: which kernels run depends on the wiring, the delays, the number of events,
and on which gradients are asked for. Each row says which kernels it means, and that they ran is part of the test.
"""

import functools

import numpy as np
import pytest
import torch
from kernel_calls import recorded
from problems import compare, random_spikes, spike_loss

import saltation as sal
from saltation.kernels import layout, plans

N, M = 3, 4
NEURON_KINDS = ("threshold", "jump", "v_reset", "tau_mem", "tau_syn", "tau_adapt")
KINDS = ("weight", "delay", "times", *NEURON_KINDS, "recurrent weight", "recurrent delay", "peak")


def dense(delay, inputs=M):
    return lambda generator: sal.Linear(inputs, N, **options(delay), generator=generator)


def sparse(delay):
    return lambda generator: sal.Sparse.random(M, N, fan_in=3, **options(delay), generator=generator)


def convolution(delay):
    return lambda generator: sal.Conv2d((1, 2, 3), N, (2, 2), **options(delay), generator=generator)


def options(delay):
    return {} if delay is None else {"delay": delay, "max_delay": 1.5, "min_delay": 0.1}


# name: (connection, delay of the recurrent one or False, whether neurons share their time constants, kernels)
PLANS = {
    "sweep": (dense(None), False, True, "sweep"),
    "sweep axonal": (dense("axonal"), False, True, "sweep"),
    "sweep dendritic": (dense("dendritic"), False, True, "sweep"),
    "sweep own": (dense("axonal"), False, False, "sweep"),
    "neuron-major": (dense("synaptic"), False, False, "neuron_major"),
    "binned": (dense("synaptic"), False, True, "binned"),
    "sparse": (sparse("synaptic"), False, False, "neuron_major"),
    "sparse, no delay": (sparse(None), False, True, "neuron_major"),
    "convolution": (convolution(None), False, True, "sweep"),
    "convolution, delays": (convolution("kernel"), False, False, "neuron_major"),
    "recurrent sweep": (dense(None), None, True, "recurrent_sweep"),
    "recurrent sweep axonal": (dense("axonal"), "axonal", False, "recurrent_sweep"),
    "recurrent windows": (dense("synaptic"), "synaptic", False, "neuron_major"),
    "recurrent dendritic": (dense(None), "dendritic", True, "neuron_major"),
    "recurrent sparse": (sparse("synaptic"), "synaptic", True, "neuron_major"),
    "rings": (dense("synaptic"), "synaptic", True, "rings"),
    "rings, no recurrent delay": (dense("synaptic"), None, True, "rings"),
    "rings dendritic": (dense("axonal"), "dendritic", True, "rings"),
}


def expected_kernels(plan, kind):
    """Bins know no peak, and no gradients of tau_mem and tau_syn."""
    way = PLANS[plan][3]
    slower = "neuron_major" if way in ("binned", "rings") else way
    forward = slower if kind == "peak" else way
    backward = slower if kind in ("peak", "tau_mem", "tau_syn") else way
    return {f"{forward}_forward", f"{backward}_backward"}


def make(plan, generator, reset, refractory, jump):
    """The layer of a row, with all that can be trained, and its input."""
    connection, recurrent_delay, alike, way = PLANS[plan]

    def draw(low, high, size=N):
        return low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)

    tau_mem, tau_syn = draw(1.5, 2.5, 1), draw(0.6, 1.2, 1)
    neuron = sal.LIF(
        N,
        tau_mem=(tau_mem if alike else tau_mem * draw(0.7, 1.4)).expand(N),
        tau_syn=(tau_syn if alike else tau_syn * draw(0.7, 1.4)).expand(N),
        tau_adapt=(draw(1.0, 4.0, 1) if alike else draw(1.0, 4.0)).expand(N),
        threshold=draw(0.4, 0.7),
        jump=jump * draw(0.5, 1.0),
        v_reset=draw(-0.3, 0.1),
        refractory=refractory,
        reset=reset,
        train=NEURON_KINDS,
    )
    connection = connection(generator).double()
    recurrent = None
    if recurrent_delay is not False:
        recurrent = sal.Linear(N, N, **options(recurrent_delay), generator=generator).double()
    many = way in ("binned", "rings")
    with torch.no_grad():
        weight = connection.weight
        drive = torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 1.2 + 1.6
        weight.copy_(drive * (0.15 if many else 1.0))
        if recurrent is not None:
            recurrent.weight.copy_(0.5 * torch.randn(N, N, generator=generator, dtype=torch.float64))
            if recurrent.delay is None:
                recurrent.weight.fill_diagonal_(0.0)
        for part in (connection, recurrent):
            if part is not None and part.delay is not None:
                raw = part.raw_delay
                raw.copy_(torch.rand(raw.shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1)
    size = {"samples": 2, "events": 140, "span": 8.0} if many else {"samples": 3, "events": 8}
    if jump < 0:
        size["duration"] = 6.5 if not many else 8.5  # long rows of forced spikes amplify rounding
    return sal.Layer(connection, neuron, recurrent=recurrent), random_spikes(
        generator, units=connection.in_size, **size
    )


def parameter_of(layer, times, kind):
    """The tensor that a kind of gradient is about, or None where the layer has none."""
    if kind in NEURON_KINDS:
        return getattr(layer.neuron, kind)
    if kind == "times":
        return times
    part = layer.recurrent if kind.startswith("recurrent") else layer.connection
    if part is None:
        return None
    return getattr(part, "raw_delay", None) if kind.endswith("delay") else part.weight


@functools.cache
def well_posed(plan, reset, refractory, jump, forced=0):
    """The first random layer that spikes often enough and in which no spike grazes the threshold."""
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        layer, spikes = make(plan, generator, reset, refractory, jump)
        result = layer.run(spikes)
        slopes, number = result.slopes, result.spikes.times.numel()
        if 8 <= number < 150 and slopes.min() > 0.1 and number > slopes.isinf().sum() >= forced:
            return layer, spikes, torch.randn(5000, generator=generator, dtype=torch.float64)
    raise AssertionError("no well-posed problem among 200")


def check_gradient(plan, kind, layer, spikes, coefficients):
    """One kind of gradient, with nothing else trained, and by which kernels."""
    times = spikes.times.clone()
    wanted = {name: parameter_of(layer, times, name) for name in (KINDS[:-1] if kind == "peak" else (kind,))}
    wanted = {name: parameter for name, parameter in wanted.items() if parameter is not None}
    layer.requires_grad_(False)
    for parameter in wanted.values():
        parameter.requires_grad_()
    seen = {}

    def loss():
        result = layer.run(spikes.with_times(times), peak=kind == "peak")
        seen["signature"] = result.spikes.units.tolist(), result.spikes.offsets.tolist()
        value = spike_loss(result.spikes, coefficients)
        if kind == "peak":  # beside the spikes, as a peak in a row of forced spikes depends on few parameters
            value = (
                value + (torch.sin(3 * result.peak) * coefficients[-result.peak.numel() :].view_as(result.peak)).sum()
            )
        return value

    with recorded() as called:
        torch.autograd.grad(loss(), list(wanted.values()), allow_unused=True)
    called = {name for name in called if name.endswith(("_forward", "_backward"))}
    assert called == expected_kernels(plan, kind)
    compare(loss, wanted, lambda: seen["signature"])


RESETS = [("constant", 0.0), ("subtract", 0.3)]


def kinds_of(plan, reset):
    """The kinds of gradient that a row has."""
    connection, recurrent_delay, _, _ = PLANS[plan]
    missing = {"v_reset"} if reset == "subtract" else set()
    if connection(torch.Generator()).delay is None:
        missing.add("delay")
    if recurrent_delay in (None, False):
        missing.add("recurrent delay")
    if recurrent_delay is False:
        missing.add("recurrent weight")
    return [kind for kind in KINDS if kind not in missing]


CASES = [(plan, kind, *reset) for plan in PLANS for reset in RESETS for kind in kinds_of(plan, reset[0])]
FORCED = [(plan, kind, reset) for plan in PLANS for reset in ("constant", "subtract") for kind in kinds_of(plan, reset)]


@pytest.mark.parametrize(("plan", "kind", "reset", "refractory"), CASES)
def test_every_plan_and_every_kind_of_gradient(plan, kind, reset, refractory):
    check_gradient(plan, kind, *well_posed(plan, reset, refractory, 0.3))


NAMES = {
    "sweep": "event-major", "neuron_major": "neuron-major", "binned": "in bins",
    "recurrent_sweep": "recurrent event-major", "rings": "recurrent in bins",
}  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
def test_a_layer_says_how_it_is_simulated(plan):
    layer, spikes, _ = well_posed(plan, "constant", 0.0, 0.3)
    assert layer.plan(spikes).split(":")[0] == NAMES[PLANS[plan][3]]
    with_peak = {"in bins": "neuron-major", "recurrent in bins": "neuron-major"}
    name = NAMES[PLANS[plan][3]]
    assert layer.plan(spikes, peak=True).split(":")[0] == with_peak.get(name, name)


@pytest.mark.parametrize(("plan", "kind", "reset"), FORCED)
def test_forced_spikes(plan, kind, reset):
    """Strong facilitation puts theta below the V that is held: spikes at the very moment of the release, in rows."""
    layer, spikes, coefficients = well_posed(plan, reset, 0.4, -1.6, forced=6)
    slopes = layer.run(spikes).slopes
    assert slopes.isinf().sum() >= 6 and slopes.isfinite().sum() >= 1
    check_gradient(plan, kind, layer, spikes, coefficients)


def test_a_buffer_that_grows_keeps_its_rows():
    class Counting(plans.Plan):
        """Row k begins with k."""

        def __init__(self):
            self.calls = 0

        def forward(self, cursor, last, buffer, filled, peaks, budget):
            self.calls += 1
            while filled < len(buffer.rows) and filled < 3000:
                buffer.rows[filled], filled = filled, filled + 1
            return (layout.DONE if filled == 3000 else layout.BUFFER_FULL), cursor, filled

    plan = Counting()
    status, _, rows = plans.simulate(
        plan, 0, 2, np.zeros((2, 1), np.int64), layout.Peaks(*3 * [np.empty((0, 0))]), layout.NO_BUDGET
    )
    assert status == layout.DONE and plan.calls > 2
    np.testing.assert_array_equal(rows[:, 0], np.arange(3000))
