"""The quadratic integrate-and-fire neuron: flow, spike times, both passes (README.md, section 6).

    tau dV/dt = V (V - 1) + I,    I decays with tau/2

A spike is V reaching infinity; V goes on from minus infinity. With V = p/q this is linear, tau dp/dt = -p + I q,
tau dq/dt = -p, and smooth through a spike, where q passes 0: the adjoint has no jump there and no slope to divide by.
"""

from math import atan2, atanh, cos, cosh, exp, expm1, inf, log1p, sin, sinh, sqrt
from typing import NamedTuple

import numpy as np

from . import models
from .chain import place_rows
from .jit import borrowing, embedded, implements, kernel
from .layout import ADAPTATION, BUDGET_EXCEEDED, BUFFER_FULL, CURRENT, DONE, FIRED, MARGIN, RELEASE_CURRENT, TIME

# Columns of the (N, 2) array of parameters
TAU, THRESHOLD = range(2)

# Below this |I m^2| the series of dS/dI is used, whose first term left out is below 1e-18.
SERIES_LIMIT = 0.5
# cosh and sinh of more are divided by exp of it: the scale of (p, q) means nothing.
LARGE = 30.0
SPIKE = -1  # in place of the number of an arrival


# cos and sin of less than half a turn: q passes 0 once at most.
HALF_TURN = 3.0


@borrowing
def rotation(m, I):
    """C = cos(m sqrt(I)), S = sin(m sqrt(I))/sqrt(I) (cosh and sinh for I < 0), of a common scale."""
    root = sqrt(abs(I))
    D = m * root
    if I > 0.0:
        return cos(D), sin(D) / root
    if D > LARGE:
        return 0.5, 0.5 / root
    if I < 0.0:
        return cosh(D), sinh(D) / root
    return 1.0, m


@borrowing
def rotation_by_current(m, I, C, S):
    """dC/dI and dS/dI, of the scale of C and S."""
    x = I * m * m
    if abs(x) > SERIES_LIMIT:
        return -0.5 * m * S, 0.5 * (m * C - S) / I
    # d/dx sin(sqrt x)/sqrt x = sum_k (-1)^k k x^(k - 1) / (2 k + 1)!
    x_2 = x * x
    low = -1 / 6 + 1 / 60 * x + x_2 * (-1 / 1680 + 1 / 90720 * x)
    high = -1 / 7983360 + 1 / 1037836800 * x + x_2 * (-1 / 186810624000 + 1 / 44460928512000 * x)
    return -0.5 * m * S, m * m * m * (low + x_2 * x_2 * high)


@borrowing
def spike_after(p, q, I, tau):
    """How long until q = 0 from (p, q), q >= 0 (q = 0 > p: right after a spike), if nothing arrives; inf: never.

    cot(m sqrt(I)) = p / (q sqrt(I)) with m = 1 - e^{-s/tau}.
    """
    root = sqrt(abs(I))
    m = inf
    if I > 0.0:
        m = atan2(root * q, p) / root
    elif p > root * q:
        m = q / p if I == 0.0 else atanh(root * q / p) / root
    return -tau * log1p(-m) if m < 1.0 else inf


class Turn(NamedTuple):
    """Of an interval of length s: m = 1 - e^{-s/tau}, c = e^{-s/tau}, and C, S of `rotation`."""

    m: float
    c: float
    C: float
    S: float


@borrowing
def turn(s, I, tau):
    """That of an interval at the start of which the current is I."""
    m = -expm1(-s / tau)
    C, S = rotation(m, I)
    return Turn(m, exp(-s / tau), C, S)


@embedded
def turned(p, q, I, by):
    """(p, q, I) at the end of an interval."""
    return by.c * (by.C * p + I * by.S * q), by.C * q - by.S * p, I * by.c * by.c


@borrowing
def flow(s, p, q, I, tau):
    """(p, q, I) a time s later."""
    return turned(p, q, I, turn(s, I, tau))


@borrowing
def flow_adjoint(s, p, q, I, by, P_p, P_q, P_I, tau):
    """The adjoint at the start (p, q, I) of an interval from that at its end, and dL/dtau with both ends held."""
    m, c, C, S = by
    C_I, S_I = rotation_by_current(m, I, C, S)
    p_end, q_end, I_end = turned(p, q, I, by)
    # scaling all times by tau: dL/dtau = -(s/tau) dL/ds
    along = P_p * (I_end * q_end - p_end) - P_q * p_end - 2.0 * P_I * I_end
    by_I = P_p * c * (C_I * p + (S + I * S_I) * q) + P_q * (C_I * q - S_I * p)
    return (
        P_p * c * C - P_q * S,
        P_p * c * I * S + P_q * C,
        c * c * P_I + by_I,
        -s / (tau * tau) * along,
    )


class Population(NamedTuple):
    """parameters (N, 2), with the columns above."""

    parameters: np.ndarray
    duration: float


class Neuron(NamedTuple):
    """One of them. V = 1 is the point of no return: weights are divided by the threshold."""

    tau: float
    threshold: float


class State(NamedTuple):
    """V = p/q, and I; right after a spike q = 0 > p."""

    p: float
    q: float
    I: float


@implements(models.single, Population)
@borrowing
def single(population, n, want_peak):
    """See models.py."""
    return Neuron(population.parameters[n, TAU], population.parameters[n, THRESHOLD])


@implements(models.start, Neuron)
@borrowing
def start(neuron):
    """See models.py."""
    return State(0.0, 1.0, 0.0)


@implements(models.receive, State)
@embedded
def receive(x, w, neuron):
    """See models.py."""
    return State(x.p, x.q, x.I + w / neuron.threshold)


@implements(models.advance, State)
@embedded
def advance(x, t, t_next, neuron, rows, tally, until_spike):
    """See models.py; in most intervals q stays above 0, or leaves it, right after a spike, with p < 0."""
    by = turn(t_next - t, x.I, neuron.tau)
    p, q, I = turned(x.p, x.q, x.I, by)
    if (q > 0.0 or (q == 0.0 and p < 0.0)) and x.I * by.m * by.m < HALF_TURN * HALF_TURN:
        scale = abs(p) + q
        return DONE, State(p / scale, q / scale, I), tally
    return advance_far(x, t, t_next, neuron, rows, tally, until_spike)


@borrowing
def advance_far(x, t, t_next, neuron, rows, tally, until_spike):
    """`advance`, whatever happens."""
    p, q, I, next_row, spikes, status = x.p, x.q, x.I, tally.next_row, tally.spikes, DONE
    while True:
        T = t + spike_after(p, q, I, neuron.tau)
        if t_next < T:
            after = flow(t_next - t, p, q, I, neuron.tau)
            if after[1] > 0.0 or after[0] < 0.0:  # right after a spike q = 0 > p
                scale = abs(after[0]) + after[1]
                p, q, I = after[0] / scale, after[1] / scale, after[2]
                break
            T = t_next  # rounding put the spike just behind the event
        if spikes == tally.budget:
            status = BUDGET_EXCEEDED
            break
        if next_row == rows.shape[0]:
            status = BUFFER_FULL
            break
        I *= exp(-2.0 * (T - t) / neuron.tau)
        row = rows[next_row]
        row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT], row[MARGIN] = T, inf, 0.0, 0.0, 0.0
        t, p, q, next_row, spikes = T, -1.0, 0.0, next_row + 1, spikes + 1
        if until_spike:
            status = FIRED
            break
    return status, State(p, q, I), models.Tally(next_row - 1, next_row, spikes, tally.budget)


@implements(models.store, State)
@borrowing
def store(x, row):
    """See models.py."""
    row[0], row[1], row[2] = x.p, x.q, x.I


@implements(models.restore, Neuron)
@borrowing
def restore(neuron, row):
    """See models.py."""
    return State(row[0], row[1], row[2])


@implements(models.peak, State)
@borrowing
def peak(x):
    """See models.py; V has no maximum."""
    return 0.0, 0.0, 0.0


@implements(models.fill_slopes, Population)
@borrowing
def fill_slopes(population, counts, rows, slopes):
    """See models.py: at infinity no gradient is divided by a slope."""
    for n in range(slopes.size):
        slopes[n] = inf


# Columns of points: own spikes and arrivals of a neuron in one order. The state right after the point before, the Turn
# from there to the point; and of an arrival P_I and dL/dt / (w / threshold).
P, Q, I, TURN_m, TURN_c, TURN_C, TURN_S, P_I, BY_TIME = range(9)
NUM_VALUES = 9


class Chain(NamedTuple):
    """The neurons of a sample on their way from their last spikes to their first.

    begin: row of the first spike; start (N + 1,): those of each neuron; owner: whose each row is; points of neuron n:
    first[n] ... first[n] + left[n] - 1 are still to come, of total[n]; time, weight, which (of an arrival its number,
    or SPIKE), values (points, NUM_VALUES); adjoint (N, 3): P_p, P_q, P_I; free: the next point that no neuron has.
    """

    begin: np.ndarray
    start: np.ndarray
    owner: np.ndarray
    first: np.ndarray
    left: np.ndarray
    total: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    which: np.ndarray
    values: np.ndarray
    adjoint: np.ndarray
    free: np.ndarray


@implements(models.new_chain, Population)
@kernel
def new_chain(population, most, arrivals):
    """See models.py."""
    N, points = population.parameters.shape[0], most + arrivals
    first, left, total = np.empty((3, N), np.int64)
    return Chain(
        np.empty(1, np.int64), np.empty(N + 1, np.int64), np.empty(most, np.int64), first, left, total,
        np.empty(points), np.empty(points), np.empty(points, np.int64), np.empty((points, NUM_VALUES)),
        np.empty((N, 3)), np.empty(1, np.int64),
    )  # fmt: skip


@implements(models.lacks_arrivals, Population)
@borrowing
def lacks_arrivals(population):
    """See models.py: the equation is not linear, so that p depends on V."""
    return True


@implements(models.open_group, Chain)
@borrowing
def open_group(chain, first, last, b, row, buffer):
    """See models.py."""
    place_rows(first, last, b, row, buffer, chain)
    chain.free[0] = 0


@implements(models.open_neuron, Chain)
@borrowing
def open_neuron(chain, n, b, count, arrival, weight, population, buffer, sent, gradients):
    """See models.py. Simulates once more, up to the last spike: nothing depends on what comes later."""
    tau, threshold = population.parameters[n, TAU], population.parameters[n, THRESHOLD]
    row, end, point = chain.start[n], chain.start[n + 1], chain.free[0]
    chain.first[n], chain.left[n], chain.total[n] = point, 0, 0
    chain.adjoint[n, 0], chain.adjoint[n, 1], chain.adjoint[n, 2] = 0.0, 0.0, 0.0
    t, p, q, i, k = 0.0, 0.0, 1.0, 0.0, 0
    while row < end:
        # as the forward pass met them: of equal times the spike comes first
        is_spike = k == count or buffer.rows[row, TIME] <= arrival[k]
        t_next = buffer.rows[row, TIME] if is_spike else arrival[k]
        chain.time[point], chain.which[point] = t_next, SPIKE if is_spike else k
        by, values = turn(t_next - t, i, tau), chain.values[point]
        values[P], values[Q], values[I] = p, q, i
        values[TURN_m], values[TURN_c], values[TURN_C], values[TURN_S] = by
        p, q, i = turned(p, q, i, by)
        if is_spike:
            p, q, row = -1.0, 0.0, row + 1
        else:
            scale = abs(p) + q
            chain.weight[point] = weight[k]
            p, q, i, k = p / scale, q / scale, i + weight[k] / threshold, k + 1
        t, point = t_next, point + 1
    chain.left[n] = chain.total[n] = point - chain.first[n]
    chain.free[0] = point
    return False


@borrowing
def step_back(chain, n, G, population, gradients):
    """Back over the last point that is left of neuron n; G = dL/dT if it is a spike."""
    tau, threshold, grad = population.parameters[n, TAU], population.parameters[n, THRESHOLD], gradients.parameters
    m = chain.first[n] + chain.left[n] - 1
    chain.left[n] -= 1
    t = chain.time[m - 1] if chain.left[n] > 0 else 0.0
    values, s = chain.values[m], chain.time[m] - t
    p, q, i = values[P], values[Q], values[I]
    by = Turn(values[TURN_m], values[TURN_c], values[TURN_C], values[TURN_S])
    p_end, q_end, _ = turned(p, q, i, by)
    P_p, P_q, P_i = chain.adjoint[n, 0], chain.adjoint[n, 1], chain.adjoint[n, 2]
    if chain.which[m] == SPIKE:
        # after it (p, q) = (-1, 0): turned and scaled by p; dT = tau dq/p
        P_p, P_q = P_p / -p_end, P_q / -p_end + G * tau / p_end
    else:
        scale = abs(p_end) + q_end
        P_p, P_q = P_p / scale, P_q / scale
        values[P_I], values[BY_TIME] = P_i, (2.0 * P_i - q_end * P_p) / tau
        grad[n, THRESHOLD] -= P_i * chain.weight[m] / (threshold * threshold)
    P_p, P_q, P_i, by_tau = flow_adjoint(s, p, q, i, by, P_p, P_q, P_i, tau)
    chain.adjoint[n, 0], chain.adjoint[n, 1], chain.adjoint[n, 2] = P_p, P_q, P_i
    grad[n, TAU] += by_tau


@implements(models.cross, Chain)
@borrowing
def cross(chain, j, G, population, buffer, sent, gradients):
    """See models.py."""
    while chain.which[chain.first[j] + chain.left[j] - 1] != SPIKE:
        step_back(chain, j, 0.0, population, gradients)
    step_back(chain, j, G, population, gradients)


@implements(models.arrival_gradient, Chain)
@borrowing
def arrival_gradient(chain, n, t, w, population, buffer, sent, gradients):
    """See models.py."""
    low, high = chain.first[n], chain.first[n] + chain.total[n]
    while low < high:  # the first point at t or later that is no spike at t
        middle = (low + high) // 2
        if chain.time[middle] < t or (chain.time[middle] == t and chain.which[middle] == SPIKE):
            low = middle + 1
        else:
            high = middle
    if low == chain.first[n] + chain.total[n]:
        return 0.0, 0.0  # after the last spike
    while chain.first[n] + chain.left[n] > low:
        step_back(chain, n, 0.0, population, gradients)
    w /= population.parameters[n, THRESHOLD]
    return chain.values[low, P_I] / population.parameters[n, THRESHOLD], w * chain.values[low, BY_TIME]


@implements(models.close_neuron, Chain)
@borrowing
def close_neuron(chain, n, population, gradients):
    """See models.py."""
    while chain.left[n] > 0:
        step_back(chain, n, 0.0, population, gradients)
