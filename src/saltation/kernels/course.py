"""What a tile goes through: intervals between arrivals, in chunks, and their coefficients for `lanes.sweep_chunk`."""

from math import exp
from typing import NamedTuple

import numpy as np

from .crossing import ROUNDING
from .flow import SMALL, flow, short_flow
from .jit import borrowing, inlined, kernel, upwards
from .lanes import AHEAD, CHUNK, E_MEM, E_SYN, FALL, LANES, NUM_COEFFICIENTS, PHI, RISE, aligned
from .layout import TAU_ADAPT, TAU_MEM, TAU_SYN
from .own_flow import FLOWS, LENGTH, OWN_ADAPT, OWN_MEM, OWN_PHI, OWN_SYN, RATE_MEM, own_flow

CHUNK_REACH = 0.5  # of the shortest time constant: a bound over more clears nobody
# After an interval longer than so many tau_mem, V at its end says nothing about V before: all neurons are looked at.
LONG = 300.0


class Course(NamedTuple):
    """Interval k lies between time[k] and time[k + 1]; at its end the row of weights that begins at row_of[k] arrives
    (at the end of the sample a row of zeros).

    table: the coefficients of lanes.py, flat: of all intervals, or of those of a chunk and each neuron of a tile;
    decay: likewise e^{-s/tau_adapt}. Of each chunk begin: its first interval, span: the longest one, fade: the product
    of its decays.
    """

    time: np.ndarray
    row_of: np.ndarray
    table: np.ndarray
    decay: np.ndarray
    begin: np.ndarray
    span: np.ndarray
    fade: np.ndarray


@kernel
def new_course(longest):
    """Room for samples of up to `longest` arrivals."""
    rows, most = max(longest + 1, FLOWS), longest + 2
    return Course(
        np.empty(longest + 2), np.zeros(longest + 1 + AHEAD, np.int64), aligned(rows * NUM_COEFFICIENTS),
        aligned(rows), np.empty(most, np.int64), np.empty(most), np.empty(most),
    )  # fmt: skip


@borrowing
def set_row(x, e_mem, e_syn, phi_s, row):
    """The coefficients of lanes.py for an interval of length x tau_mem, with no bound where it would overflow."""
    c = x / e_mem * (1.0 + ROUNDING) if x < LONG else 0.0
    row[E_MEM], row[PHI], row[E_SYN], row[RISE], row[FALL] = e_mem, phi_s, e_syn, 1.0 + c, e_syn * c


@borrowing
def set_table(count, neuron, adaptive, course):
    """The table and the decay of a course of `count` arrivals, for neurons that all have these time constants."""
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    table, time = course.table, course.time
    for k in range(count + 1):  # without branches, so that it vectorises; right where the interval is short
        s = time[k + 1] - time[k]
        x = s / tau_mem
        e_mem, e_syn, phi_s = short_flow(x, s / tau_syn)
        c = x / e_mem * (1.0 + ROUNDING)
        j = NUM_COEFFICIENTS * k
        table[j + E_MEM], table[j + PHI], table[j + E_SYN] = e_mem, phi_s, e_syn
        table[j + RISE], table[j + FALL] = 1.0 + c, e_syn * c
    limit = SMALL * min(tau_mem, tau_syn)
    for k in range(count + 1):
        s = time[k + 1] - time[k]
        if s > 0.99 * limit:
            e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
            set_row(s / tau_mem, e_mem, e_syn, phi_s, table[NUM_COEFFICIENTS * k : NUM_COEFFICIENTS * (k + 1)])
    for k in range(count + 1 if adaptive else 0):
        course.decay[k] = exp(-(time[k + 1] - time[k]) / tau_adapt)


@borrowing
def set_own_table(k0, k1, adaptive, course, factors):
    """The table and the decay of the intervals k0 ... k1 - 1, however long, for each neuron of a tile."""
    for e in range(CHUNK):
        s = course.time[k0 + e + 1] - course.time[k0 + e] if k0 + e < k1 else 0.0
        for n in range(LANES):
            factors[LENGTH + e * LANES + n] = s
    own_flow(factors, factors.view(np.int64), adaptive)
    for e in range(CHUNK):
        for n in range(LANES):
            at, j = e * LANES + n, e * NUM_COEFFICIENTS * LANES + n
            x, e_mem, e_syn = (
                factors[LENGTH + at] * factors[RATE_MEM + at],
                factors[OWN_MEM + at],
                factors[OWN_SYN + at],
            )
            c = x / e_mem * (1.0 + ROUNDING) if x < LONG else 0.0
            course.table[j + E_MEM * LANES], course.table[j + PHI * LANES] = e_mem, factors[OWN_PHI + at]
            course.table[j + E_SYN * LANES], course.table[j + RISE * LANES] = e_syn, 1.0 + c
            course.table[j + FALL * LANES] = e_syn * c
            course.decay[at] = factors[OWN_ADAPT + at]


@borrowing
def close_chunk(c, first, k, with_fade, course):
    """Chunk c holds the intervals first ... k - 1; with_fade: whether `decay` is that of all neurons."""
    course.begin[c], course.begin[c + 1], course.span[c], course.fade[c] = first, k, 0.0, 1.0
    for j in range(first, k):
        course.span[c] = max(course.span[c], course.time[j + 1] - course.time[j])
        if with_fade:
            course.fade[c] *= course.decay[j]


@kernel
def set_course(count, arrival, unit, inputs, neurons, how, course):
    """The course of one sample; `inputs`: the number of the row of zeros. Returns the number of chunks."""
    time = course.time
    time[0], time[count + 1] = 0.0, neurons.duration
    time[1 : count + 1] = arrival[:count]
    for k in range(count):
        course.row_of[k] = unit[k] * LANES
    course.row_of[count] = inputs * LANES
    if how.alike:
        set_table(count, neurons.parameters[0], how.adaptive, course)
    chunks, k = 0, 0
    while k <= count:
        first = k
        while k <= count and k < first + CHUNK and (k == first or time[k + 1] - time[first] < how.reach):
            k += 1
        close_chunk(chunks, first, k, how.alike and how.adaptive, course)
        chunks += 1
    return chunks


@inlined
def lane_flow(k, k0, m, V, I, a, level, course, how):
    """Lane m of a tile through interval k of the chunk that begins with k0, from (V, I, a) on: the same just before the
    arrival at its end, level + min(a, a then), a bound of V on the way, right in an interval that is not `LONG`, and
    the coefficients E_MEM and RISE.
    """
    table, j, step = course.table, NUM_COEFFICIENTS * k, 1
    if not how.alike:
        j, step = NUM_COEFFICIENTS * LANES * (k - k0) + m, LANES
    e_mem, rise = table[upwards(j + E_MEM * step)], table[upwards(j + RISE * step)]
    v, i = V * e_mem + I * table[upwards(j + PHI * step)], I * table[upwards(j + E_SYN * step)]
    bound = v * rise - I * table[upwards(j + FALL * step)]
    a_next, bar = a, level
    if how.adaptive:
        a_next *= course.decay[upwards(k if how.alike else (k - k0) * LANES + m)]
        bar += min(a, a_next) - ROUNDING * abs(a)
    return (v, i, a_next), bar, max(V, v, bound), (e_mem, rise)


@kernel
def share_taus(parameters):
    """Whether all neurons have the same time constants."""
    taus = parameters[:, : TAU_ADAPT + 1]
    return (taus == taus[0]).all()


@kernel
def shortest_tau(parameters):
    """The shortest time constant of membrane or synapse."""
    return parameters[:, : TAU_SYN + 1].min()
