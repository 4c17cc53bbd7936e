"""The problems whose results are kept as golden values (golden.py): every kind of layer, delay, reset and input."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

import saltation as sal

TAUS = ("tau_mem", "tau_syn")


class Case(NamedTuple):
    """build(rng) -> (model, spikes). large: too slow without compilation."""

    name: str
    build: Callable
    peak: bool = False
    large: bool = False
    most: int = 150  # spikes; more of them are seldom well conditioned


def draw(rng, low, high, *shape):
    return torch.from_numpy(low + (high - low) * rng.random(shape))


def normal(rng, *shape):
    """Nearly normal; only rng.random is the same in every NumPy."""
    return torch.from_numpy(rng.random((12, *shape)).sum(0) - 6.0)


def events(rng, units, samples=3, count=8, span=4.0, duration=10.0, ties=False, late=0):
    """Events at random times in [0, span], the last few, `late`, in all of the sample; sample 1 is empty."""
    times, unit, offsets = [], [], [0]
    for b in range(samples):
        n = 0 if b == 1 else count
        t = rng.random(n) * span
        t[: min(late, n)] *= duration / span
        t.sort()
        times.append(np.sort(np.round(t * 2) / 2) if ties else t)
        unit.append((rng.random(n) * units).astype(np.int64))
        offsets.append(offsets[-1] + n)
    times, unit = torch.from_numpy(np.concatenate(times)), torch.from_numpy(np.concatenate(unit))
    return sal.Spikes(times, unit, torch.tensor(offsets), units, duration)


def delays(kind):
    return {} if kind is None else {"delay": kind, "max_delay": 1.5, "min_delay": 0.1}


def filled(connection, rng, scale=1.0, mean=1.6, spread=1.2):
    """The connection in float64, with drawn weights and delays."""
    connection = connection.double()
    with torch.no_grad():
        connection.weight.copy_(scale * (mean + spread * normal(rng, *connection.weight.shape)))
        if connection.delay is not None:
            connection.raw_delay.copy_(draw(rng, 0.1, 0.9, *connection.raw_delay.shape))
    return connection


def lif(
    rng, size, alike=False, reset="constant", refractory=0.0, jump=0.3, train_taus=True, tau=(2.0, 1.1), tau_adapt=2.0
):
    """Neurons that differ in all but, if `alike`, their time constants."""
    spread = 0.0 if alike else 0.3
    tau_mem, tau_syn, tau_adapt = (value * draw(rng, 1 - spread, 1 + spread, size) for value in (*tau, tau_adapt))
    kinds = ("threshold", "jump", "v_reset", "tau_adapt") + (TAUS if train_taus else ())
    return sal.LIF(
        size, tau_mem=tau_mem, tau_syn=tau_syn, tau_adapt=tau_adapt, threshold=draw(rng, 0.4, 0.7, size),
        jump=jump * draw(rng, 0.5, 1.0, size), v_reset=draw(rng, -0.3, 0.1, size), refractory=refractory, reset=reset,
        train=kinds,
    )  # fmt: skip


def forward(delay, inputs=4, size=4, scale=1.0, train_jump=True, spikes=None, **neuron):
    """One dense layer."""

    def build(rng):
        connection = filled(sal.Linear(inputs, size, **delays(delay)), rng, scale)
        layer = sal.Layer(connection, lif(rng, size, **neuron))
        if neuron.get("jump") == 0.0:
            layer.neuron.jump.requires_grad_(False)
        return layer, events(rng, inputs, **(spikes or {}))

    return build


RESETS = {
    "reset": {},
    "subtract": {"reset": "subtract", "jump": -0.05},
    "held": {"refractory": 0.3, "jump": -0.1},
    "held subtract": {"reset": "subtract", "refractory": 0.3},
    "once": {"refractory": math.inf, "jump": 0.0},
}
DELAYS = (None, "axonal", "dendritic", "synaptic")


def dense_cases():
    for k, (delay, (name, neuron), alike) in enumerate(itertools.product(DELAYS, RESETS.items(), [False, True])):
        taus = k % 3 != 1
        words = f"dense {delay}, {name}, {'alike' if alike else 'own'}, {'taus' if taus else 'no taus'}"
        yield Case(words, forward(delay, alike=alike, train_taus=taus, **neuron), peak=k % 4 < 2)
    for alike in (False, True):
        yield Case(f"no adaptation {alike}", forward("axonal", alike=alike, jump=0.0, train_taus=not alike), peak=alike)
    crowd = {"count": 130, "span": 8.0, "samples": 4}
    for k, (name, neuron) in enumerate(RESETS.items()):
        for taus in (False, True):
            build = forward("synaptic", size=3, scale=0.12, alike=True, train_taus=taus, spikes=crowd, **neuron)
            yield Case(f"bins, {name}, {taus}", build, peak=k == 0)
            if k == 0:
                yield Case(f"bins, {name}, {taus}, no peak", build)
    long_held = {"refractory": 1.5, "jump": 0.2}
    yield Case("bins, held for long", forward("synaptic", size=3, scale=0.2, alike=True, spikes=crowd, **long_held))
    burst = {"count": 150, "span": 1e-3, "samples": 4}
    yield Case("bins, burst", forward("synaptic", size=3, scale=0.12, alike=True, spikes=burst | {"late": 3}))
    many = {"count": 250, "span": 8.0, "samples": 2}
    for delay in (None, "axonal", "dendritic"):  # short intervals
        for jump in (0.0, 0.3):
            taus = delay == "axonal" and jump > 0.0
            build = forward(delay, size=3, scale=0.08, alike=True, jump=jump, train_taus=taus, spikes=many)
            yield Case(f"crowded {delay} {jump}", build, peak=delay == "dendritic")
    slow = {"tau": (1.0, 4.0)}
    yield Case("bins, slow synapse", forward("synaptic", size=3, scale=0.1, alike=True, spikes=crowd, **slow))
    for delay in DELAYS:
        build = forward(delay, reset="subtract" if delay in (None, "synaptic") else "constant", jump=-1.6,
                        refractory=0.4, spikes={"duration": 6.0})  # fmt: skip
        yield Case(f"forced spikes {delay}", build, peak=delay is None)
    for k, delay in enumerate(DELAYS):  # arrivals after the end, and an end while V is held
        build = forward(delay, refractory=(0.0, 2.5)[k % 2], spikes={"duration": 4.5})
        yield Case(f"late arrivals {delay}", build, peak=True)
    drive = {"size": 2, "scale": 8.0, "tau": (1.0, 6.0), "jump": 0.05}
    for delay in (None, "synaptic"):
        yield Case(f"many spikes {delay}", forward(delay, **drive), most=3000)
    ties = {"ties": True, "count": 14}
    for delay in (None, "axonal", "synaptic"):
        yield Case(f"ties {delay}", forward(delay, spikes=ties, refractory=0.25), peak=delay is None)
    long = {"duration": 900.0}  # hundreds of time constants after the last event
    for alike in (False, True):
        yield Case(f"long silence {alike}", forward(None, alike=alike, train_taus=not alike, scale=2.0, spikes=long))
    for name, tau in {"equal": (1.5, 1.5), "close": (1.5, 1.5 * (1 + 1e-9)), "stiff": (2.0, 0.02)}.items():
        scale = 60.0 if name == "stiff" else 1.0
        for delay in (None, "synaptic"):
            build = forward(delay, alike=True, tau=tau, scale=scale, train_taus=delay is not None)
            yield Case(f"{name} time constants {delay}", build)
    yield Case("no events", forward(None, spikes={"count": 0}), peak=True)
    yield Case("silent", forward("synaptic", scale=0.05), peak=True)
    wide = {"samples": 3, "count": 12}
    for delay, alike in itertools.product((None, "dendritic"), (False, True)):
        build = forward(delay, size=140, scale=0.4, alike=alike, train_taus=not alike, refractory=0.2, spikes=wide)
        yield Case(f"two tiles {delay} {alike}", build, large=True, most=2000, peak=alike)
    batch = {"samples": 40, "count": 100}
    for delay, alike in ((None, True), ("axonal", False), ("synaptic", True), ("synaptic", False)):
        build = forward(delay, inputs=20, size=40, scale=0.08, alike=alike, refractory=1.0, spikes=batch)
        yield Case(f"batch {delay} {alike}", build, large=True, most=20_000)


def wired_cases():
    def sparse(delay, taus, jump=0.3, duration=10.0, scale=1.0, mean=1.6, **neuron):
        def build(rng):
            size, inputs, fan_in = 4, 6, 3
            source = torch.from_numpy(np.concatenate([rng.random(inputs).argsort()[:fan_in] for _ in range(size)]))
            target = torch.arange(size).repeat_interleave(fan_in)
            connection = filled(sal.Sparse(inputs, size, source, target, **delays(delay)), rng, scale, mean)
            neurons = lif(rng, size, train_taus=taus, jump=jump, **neuron)
            return sal.Layer(connection, neurons), events(rng, inputs, count=12, duration=duration)

        return build

    for k, (delay, neuron) in enumerate(itertools.product((None, "synaptic"), RESETS.values())):
        yield Case(f"sparse {delay} {k}", sparse(delay, k % 2 == 0, **neuron), peak=k % 3 == 0)
    yield Case("sparse, late arrivals", sparse("synaptic", True, duration=4.5), peak=True)
    yield Case("sparse, no delay, late", sparse(None, False, duration=4.2, mean=0.3), peak=True)
    drive = {"tau": (1.0, 6.0), "jump": 0.05, "scale": 8.0}
    yield Case("sparse, many spikes", sparse(None, True, **drive), most=4000)
    yield Case("sparse forced spikes", sparse("synaptic", True, jump=-1.6, refractory=0.4, reset="subtract"))

    def convolution(delay, shared, stride=1, padding=0, **neuron):
        def build(rng):
            connection = filled(sal.Conv2d((2, 3, 4), 2, (2, 2), stride=stride, padding=padding, **delays(delay)), rng)
            size = 2 if shared else connection.out_size
            layer = sal.Layer(connection, lif(rng, size, **neuron))
            return layer, events(rng, connection.in_size, samples=2, count=16)

        return build

    for k, (delay, shared) in enumerate(itertools.product((None, "axonal", "channel", "kernel"), (True, False))):
        build = convolution(delay, shared, stride=1 + k % 2, padding=int(k == 5), alike=k % 2 == 0, refractory=0.5)
        yield Case(f"convolution {delay} {shared}", build, peak=k % 3 == 0)

    def joined(kind):
        def build(rng):
            inner = "synaptic" if kind is sal.Parallel else "axonal"
            parts = [filled(sal.Linear(3, 4, **delays(delay)), rng, 0.7) for delay in (inner, None)]
            layer = sal.Layer(kind(*parts), lif(rng, 4))
            return layer, events(rng, layer.in_size)

        return build

    yield Case("beside", joined(sal.Beside))
    yield Case("parallel", joined(sal.Parallel))


def recurrent_cases():
    def recurrent(delay, back, least=0.1, scale=1.0, duration=10.0, spikes=None, **neuron):
        def build(rng):
            size = 4
            connection = filled(sal.Linear(4, size, **delays(delay)), rng, scale)
            options = delays(back) | ({"min_delay": least} if back else {})
            feedback = filled(sal.Linear(size, size, **options), rng, 0.4, mean=0.0)
            if back is None:
                with torch.no_grad():
                    feedback.weight.fill_diagonal_(0.0)
            return sal.Layer(connection, lif(rng, size, **neuron), recurrent=feedback), events(
                rng, 4, duration=duration, **(spikes or {})
            )

        return build

    kinds = list(RESETS.values())
    for k, (delay, back) in enumerate(itertools.product(DELAYS, DELAYS)):
        neuron = kinds[k % 4] | {"alike": k % 3 == 0, "train_taus": k % 2 == 0}
        yield Case(f"recurrent {delay} {back}", recurrent(delay, back, **neuron), peak=k % 5 < 2)
    for back in (None, "synaptic"):
        yield Case(f"recurrent once {back}", recurrent(None, back, **RESETS["once"]))
        forced = {"jump": -1.4, "refractory": 0.5, "reset": "subtract", "alike": True}
        yield Case(f"recurrent forced spikes {back}", recurrent("axonal", back, **forced))
        plain = {"jump": 0.0, "alike": True, "train_taus": False, "refractory": 0.6}
        yield Case(f"recurrent plain {back}", recurrent(None, back, **plain), peak=back is None)
        held = recurrent("axonal", back, duration=900.0, refractory=1.0)
        yield Case(f"recurrent, long silence {back}", held)
        late = recurrent("synaptic" if back else "axonal", back, duration=4.5, refractory=2.5)
        yield Case(f"recurrent, late arrivals {back}", late, peak=True)
    crowd = {"count": 130, "span": 8.0, "samples": 4}
    wirings = itertools.cycle([("synaptic", "synaptic"), ("synaptic", None), ("axonal", "dendritic")])
    for k, ((delay, back), (name, neuron)) in enumerate(zip(wirings, RESETS.items(), strict=False)):
        for taus in (False, True) if k == 0 else (False,):
            build = recurrent(delay, back, scale=0.12, alike=True, train_taus=taus, spikes=crowd, **neuron)
            yield Case(f"rings {delay} {back}, {name}, {taus}", build, peak=taus)
    slow = {"tau": (1.0, 4.0), "scale": 0.08, "alike": True, "train_taus": False, "refractory": 0.3}
    yield Case("rings, slow synapse", recurrent("dendritic", "synaptic", spikes=crowd, **slow))
    ties = {"ties": True, "count": 60, "span": 8.0}
    yield Case("rings, ties", recurrent("axonal", "dendritic", scale=0.25, alike=True, train_taus=False, spikes=ties))
    for back in ("axonal", "synaptic"):
        drive = {"tau": (1.0, 6.0), "jump": 0.3, "scale": 40.0}
        yield Case(f"recurrent, many spikes {back}", recurrent(None, back, **drive), large=True, most=6000)


def other_neurons():
    def quadratic(kind, pseudo_time, scale=1.0):
        def build(rng):
            if kind == "sparse":
                source, target = torch.tensor([0, 1, 2, 3, 0, 2]), torch.tensor([0, 0, 1, 1, 2, 2])
                connection = sal.Sparse(4, 3, source, target, delay="synaptic", max_delay=1.5)
            elif kind == "convolution":
                connection = sal.Conv2d((1, 2, 3), 3, (2, 2), delay="kernel", max_delay=1.5)
            else:
                connection = sal.Linear(4, 3, **delays(kind))
            connection = filled(connection, rng, scale, mean=5.0, spread=4.0)
            neuron = sal.QIF(
                3, draw(rng, 1.5, 2.5, 3), draw(rng, 0.6, 1.4, 3), pseudo_time + draw(rng, 0.0, 1.0, 3),
                draw(rng, 12.0, 20.0, 3), train=("tau_mem", "threshold"),
            )  # fmt: skip
            return sal.Layer(connection, neuron), events(rng, connection.in_size, count=10)

        return build

    for k, kind in enumerate([*DELAYS, "sparse", "convolution"]):
        for pseudo_time in (math.inf, 0.0 if k % 2 else 5.0):
            yield Case(f"quadratic {kind} {pseudo_time}", quadratic(kind, pseudo_time))

    yield Case("quadratic, strong", quadratic(None, math.inf, 300.0), most=2000)

    def leakless(kind, refractory, recurrent=None):
        def build(rng):
            if kind == "convolution":
                connection = sal.Conv2d((1, 2, 3), 3, (2, 2), delay="kernel", max_delay=1.5)
            else:
                connection = sal.Linear(4, 3, **delays(kind))
            neuron = sal.IF(
                3, draw(rng, 0.7, 1.7, 3), draw(rng, 0.6, 1.4, 3), draw(rng, -0.3, 0.2, 3), refractory,
                train=("tau_syn", "threshold", "v_reset"),
            )  # fmt: skip
            feedback = filled(sal.Linear(3, 3, **delays("synaptic")), rng, mean=0.0, spread=0.5) if recurrent else None
            layer = sal.Layer(filled(connection, rng, mean=1.0, spread=1.0), neuron, feedback)
            return layer, events(rng, connection.in_size, count=10)

        return build

    for kind, refractory in zip([*DELAYS, "convolution"], (0.0, 0.5, math.inf, 0.5, 0.0), strict=True):
        yield Case(f"no leak {kind} {refractory}", leakless(kind, refractory), peak=kind != "axonal")
    for refractory in (0.0, 0.5):
        yield Case(f"no leak recurrent {refractory}", leakless("synaptic", refractory, True), peak=refractory > 0.0)

    def readout(delay, alike):
        def build(rng):
            taus = (value * draw(rng, *((1, 1) if alike else (0.5, 2.0)), 3) for value in (2.0, 0.7))
            neuron = sal.LI(3, *taus, train=() if alike and delay == "axonal" else TAUS)
            return sal.Layer(filled(sal.Linear(4, 3, **delays(delay)), rng, mean=0.5), neuron), events(rng, 4)

        return build

    for delay, alike in itertools.product(DELAYS, (False, True)):
        yield Case(f"readout {delay} {alike}", readout(delay, alike))

    def network(rng):
        first = sal.Layer(filled(sal.Conv2d((1, 4, 4), 2, 3, padding=1), rng, 0.6), lif(rng, 2, refractory=0.5))
        pool = sal.SumPool2d((2, 4, 4), 2)
        second = sal.Layer(filled(sal.Linear(8, 4, **delays("synaptic")), rng, 0.25), lif(rng, 4, refractory=0.5))
        last = sal.Layer(filled(sal.Linear(4, 2), rng), sal.LI(2, 2.0, 1.0))
        return sal.Sequential(first, pool, second, last), events(rng, 16, count=10, duration=6.0)

    yield Case("network", network, large=True, most=400)


def smoothed_cases():
    def smoothed(case):
        def build(rng):
            model, spikes = case.build(rng)
            for layer in model if isinstance(model, sal.Sequential) else [model]:
                if isinstance(layer, sal.Layer) and layer.neuron.spiking:
                    layer.smoothing = 1.0
            return model, spikes

        return case._replace(name=f"ghosts, {case.name}", build=build, peak=False)

    names = [
        "no adaptation True", "bins, slow synapse", "late arrivals axonal", "late arrivals dendritic",
        "late arrivals synaptic", "forced spikes None", "forced spikes dendritic", "sparse synaptic 5",
        "convolution None True", "beside", "recurrent None None", "recurrent axonal axonal",
        "recurrent synaptic dendritic", "recurrent once synaptic", "recurrent forced spikes None",
        "rings, slow synapse", "network",
    ]  # fmt: skip
    exact = {case.name: case for make in MAKERS[:-1] for case in make()}
    yield from (smoothed(exact[name]) for name in names)

    def read_out(rng):
        layer, spikes = forward("axonal")(rng)
        return sal.Sequential(layer, sal.Layer(filled(sal.Linear(4, 2), rng), sal.LI(2, 2.0, 1.0))), spikes

    yield smoothed(Case("read out", read_out))


MAKERS = dense_cases, wired_cases, recurrent_cases, other_neurons, smoothed_cases
CASES = {case.name: case for make in MAKERS for case in make()}
