"""Membrane potential and threshold of one neuron, for pictures: in plain Python, from the spikes of its layer."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .spikes import Spikes

Arrivals = Sequence[tuple[float, float]]  # (time, weight) of each


def trace(layer: Any, spikes: Spikes, sample: int, unit: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `Layer.trace`."""
    arrivals: list[tuple[float, float]] = []
    with torch.no_grad():
        inputs = spikes.sample(sample)
        output = layer(inputs)
        for events, connection in ((inputs, layer.connection), (output, layer.recurrent)):
            if connection is not None:
                events = connection.incoming(events)
                weights, delays = connection.dense()
                delay = delays.expand(weights.shape)[unit].double().numpy()
                weight = weights[unit].double().numpy()
                arrivals += [(t + delay[i], weight[i]) for t, i in events.detach().to_lists()[0]]
        places = 1 if layer._patches is None else layer._patches.places
        own = [t for t, j in output.to_lists()[0] if j == unit]
        return layer.neuron.trace(unit // places, times, own, arrivals)


def linear_trace(
    times: np.ndarray,
    own: Sequence[float],
    arrivals: Arrivals,
    neuron: np.ndarray,
    subtract: bool = False,
    response: Callable[[float, float, float], float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """V and theta at `times`, given own spikes. neuron (7,): the columns of kernels/layout.py; response(s, tau_mem,
    tau_syn): V a time s after the arrival of a weight of 1; None: that of LIF neurons.
    """
    from .kernels.flow import phi

    respond = phi if response is None else response
    tau_mem, tau_syn, tau_adapt, threshold, jump, v_reset, refractory = neuron.tolist()
    V, theta, held, a = np.zeros_like(times), np.full_like(times, threshold), 0.0, 0.0
    resets = [(0.0, 0.0, 0.0), *[(T, T + refractory, v_reset) for T in own]]
    order, arrivals = np.argsort(times, kind="stable"), sorted(arrivals)
    k, t, current = 0, 0.0, 0.0  # I just before arrival k, at the time t

    def flow(s: float, V: float, current: float) -> tuple[float, float]:
        V = V * math.exp(-s / tau_mem) + current * respond(s, tau_mem, tau_syn)
        return V, current * math.exp(-s / tau_syn)

    for n, (start, release, V_t) in enumerate(resets):
        stop = resets[n + 1][0] if n + 1 < len(resets) else np.inf
        if n > 0:
            a *= math.exp(-(start - resets[n - 1][0]) / tau_adapt)  # just before the spike
            if subtract:
                forced = n > 1 and np.isclose(start, resets[n - 1][1], rtol=1e-12) and held > threshold + a
                V_t = held = held - threshold if forced else a
            a += jump
        inside = order[(times[order] > start if n else times[order] >= 0) & (times[order] <= stop)]
        theta[inside] += a * np.exp(-(times[inside] - start) / tau_adapt)
        while k < len(arrivals) and arrivals[k][0] <= release:  # V is held
            current = current * math.exp(-(arrivals[k][0] - t) / tau_syn) + arrivals[k][1]
            t, k = arrivals[k][0], k + 1
        current *= math.exp(-(release - t) / tau_syn)
        t = release
        for m in inside:
            while k < len(arrivals) and arrivals[k][0] < times[m]:
                V_t, current = flow(arrivals[k][0] - t, V_t, current)
                t, current, k = arrivals[k][0], current + arrivals[k][1], k + 1
            if times[m] > release:
                V_t, current = flow(times[m] - t, V_t, current)
                t = times[m]
            V[m] = V_t
    return V, theta


def quadratic_trace(
    times: np.ndarray, own: Sequence[float], arrivals: Arrivals, tau: float, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """As `linear_trace`, for a QIF neuron."""
    from .kernels.qif import flow

    changes = [(t, w / threshold) for t, w in arrivals]
    changes = sorted([*changes, *((T, np.nan) for T in own)], key=lambda change: change[0])
    V, n, t, p, q, current = np.zeros_like(times), 0, 0.0, 0.0, 1.0, 0.0
    for m in np.argsort(times, kind="stable"):
        while n < len(changes) and changes[n][0] < times[m]:
            p, q, current = flow(changes[n][0] - t, p, q, current, tau)
            t, w = changes[n]
            p, q, current = (-1.0, 0.0, current) if np.isnan(w) else (p / (abs(p) + q), q / (abs(p) + q), current + w)
            n += 1
        p_m, q_m, _ = flow(times[m] - t, p, q, current, tau)
        V[m] = p_m / q_m if q_m > 0.0 else np.inf
    return threshold * V.clip(-3.0, 3.0), np.full_like(times, threshold)
