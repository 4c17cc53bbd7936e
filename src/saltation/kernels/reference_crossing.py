"""Plain-Python twin of flow.py and crossing.py: SciPy on a fine grid of sub-intervals, without their code."""

import math

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import exprel

from .layout import TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD


def phi(s, tau_mem, tau_syn):
    """V(s) that a unit current causes; s may be an array."""
    d = -abs(s / tau_mem - s / tau_syn)
    return s / tau_mem * np.exp(-s / max(tau_mem, tau_syn)) * exprel(d)


def state(s, V, I, a, neuron):
    """(V, I, a) after the free flow over s."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    V_s = V * np.exp(-s / tau_mem) + I * phi(s, tau_mem, tau_syn)
    return V_s, I * np.exp(-s / tau_syn), a * np.exp(-s / tau_adapt)


def above(s, V, I, a, neuron):
    """g = V - a - threshold after the free flow over s."""
    V_s, _, a_s = state(s, V, I, a, neuron)
    return V_s - a_s - neuron[THRESHOLD]


GRID = 2000
NEAR = 1e-3  # how close to 0 or to the best a grid maximum must be to be polished, relative to the state


def first_crossing(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """As crossing.first_crossing, by a grid, its local maxima polished, and Brent's method."""
    neuron = np.array([tau_mem, tau_syn, tau_adapt, threshold, 0.0, 0.0, 0.0])
    x, g = polished_grid(s, V, I, a, neuron)
    if g[0] > 0:
        return 0.0
    over = np.nonzero(g[1:] > 0)[0]
    if s == 0 or over.size == 0:
        return -1.0
    k = over[0]
    if g[k] >= 0.0:
        return x[k]
    return brentq(above, x[k], x[k + 1], args=(V, I, a, neuron), xtol=1e-300, rtol=4 * np.finfo(float).eps)


def highest(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """As crossing.highest, by the same grid."""
    neuron = np.array([tau_mem, tau_syn, tau_adapt, threshold, 0.0, 0.0, 0.0])
    x, g = polished_grid(s, V, I, a, neuron)
    k = int(np.argmax(g))
    V_x, I_x, a_x = state(x[k], V, I, a, neuron)
    slope = (I_x - V_x) / tau_mem + a_x / tau_adapt
    return x[k], g[k], slope if x[k] in (0.0, s) else 0.0


def polished_grid(s, V, I, a, neuron):
    """A grid over [0, s], uniform and logarithmic, with every local maximum of g added to 1e-12."""
    x = np.unique(np.concatenate([np.linspace(0.0, s, GRID), s * np.logspace(-9, 0, GRID)]))
    g = above(x, V, I, a, neuron)
    tops = []
    near = NEAR * (abs(V) + abs(I) + abs(a))
    for k in range(1, x.size - 1):
        if g[k] >= g[k - 1] and g[k] >= g[k + 1] and (abs(g[k]) < near or g[k] > g.max() - near):
            found = minimize_scalar(
                lambda y: -above(y, V, I, a, neuron),
                bounds=(x[k - 1], x[k + 1]),
                method="bounded",
                options={"xatol": 1e-12 * s},
            )
            tops.append(found.x)
    x = np.unique(np.concatenate([x, tops]))
    return x, above(x, V, I, a, neuron)


def slope_of(x, neuron):
    """dg/dt in the state x, with V free."""
    V, I, a = x
    return (I - V) / neuron[TAU_MEM] + a / neuron[TAU_ADAPT]


def top_between(s, x, neuron):
    """Where g has its one maximum inside an interval of length s that begins in the state x; inf if nowhere."""
    times = np.unique(np.concatenate([np.linspace(0.0, s, GRID), s * np.logspace(-9, 0, GRID)]))
    slopes = slope_of(state(times, *x, neuron), neuron)
    falls = np.nonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))[0]
    if falls.size == 0:
        return math.inf
    k = falls[0]
    if slopes[k + 1] == 0.0:
        return times[k + 1] if k + 2 < times.size else math.inf
    return brentq(lambda y: slope_of(state(y, *x, neuron), neuron), times[k], times[k + 1], xtol=1e-300, rtol=1e-15)
