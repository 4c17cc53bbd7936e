"""A tile back through a chunk of arrivals, and single lanes: what both event-major backward passes consist of."""

from typing import NamedTuple

import numpy as np

from .arrivals import arrival_times, sort_arrivals
from .flow import flow, phi_gradient
from .jit import borrowing, embedded, inlined, kernel, sum_kernel, upwards
from .lanes import (
    A_SYN,
    ACC_MEM,
    ACC_SYN,
    AHEAD,
    ALL,
    B_MEM,
    B_SYN,
    CHUNK,
    I_BY_MEM,
    I_BY_SYN,
    LANES,
    M_MEM,
    NUM_ADJOINT,
    P_I,
    P_V,
    T_I,
    T_V,
    TAUS,
    TIMES,
    V_BY_MEM,
    WEIGHTS,
    A,
    B,
    M,
    aligned,
    carry_chunk,
    step_chunk,
)
from .layout import TAU_MEM, TAU_SYN
from .own_flow import (
    FLOWS,
    LENGTH,
    OWN_MEM,
    OWN_PHI,
    OWN_PHI_MEM,
    OWN_PHI_SYN,
    OWN_SYN,
    RATE_MEM,
    RATE_SYN,
    SERIES,
    own_flow,
    own_flow_gradient,
)
from .short_lanes import HIGH, HIGH_REACH, MIDDLE, MIDDLE_REACH, TOP, fill_returns

OWN_TABLE = NUM_ADJOINT * LANES * (CHUNK + 1)  # of the arrivals of a chunk, and of the step to the next one


class Returns(NamedTuple):
    """The arrivals of a sample on the way back, in chunks: chunk c holds the arrivals begin[c + 1] ... begin[c] - 1.

    arrival, source (count,): when, and which; of ghost g among the inputs source is -1 - g. unit (count,): the row of
    the weights; of ghosts a spare one, for each of a chunk its own. chunk_of (count,).
    """

    arrival: np.ndarray
    source: np.ndarray
    unit: np.ndarray
    begin: np.ndarray
    chunk_of: np.ndarray


class Way(NamedTuple):
    """What `lanes.carry_chunk` needs of the arrivals: its table, row_of, and grad_times (CHUNK,); and of the synapses:
    their weights and dL/dweight, both flat, a tile after the other, of which each has `size` numbers.

    steps: where in the table the rows begin that lead from the end of a chunk to that of the next one. detail: which
    gradients are wanted; own: whether each neuron of a tile has a table of its own.
    """

    table: np.ndarray
    row_of: np.ndarray
    times: np.ndarray
    weights: np.ndarray
    grad: np.ndarray
    size: int
    steps: int
    detail: int
    own: bool


@kernel
def new_returns(longest):
    """Room for samples of up to `longest` arrivals."""
    return Returns(
        np.empty(longest), np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest + 2, np.int64),
        np.empty(longest, np.int64),
    )  # fmt: skip


@kernel
def new_way(longest, weights, grad_weights, detail, own):
    """Likewise; neurons that are not alike have a table of one chunk, of `OWN_TABLE` numbers. weights:
    `sweep.by_input`.
    """
    return Way(
        aligned(OWN_TABLE if own else 2 * NUM_ADJOINT * longest), np.zeros(longest + AHEAD, np.int64), np.empty(CHUNK),
        weights.reshape(-1), grad_weights.reshape(-1), weights.shape[1] * LANES,
        NUM_ADJOINT * (FLOWS if own else longest), detail, own,
    )  # fmt: skip


@inlined
def with_table(table, way):
    """The same with the table of another tile."""
    return Way(table, way.row_of, way.times, way.weights, way.grad, way.size, way.steps, way.detail, way.own)


@borrowing
def set_adjoint_row(s, e_mem, e_syn, phi_s, phi_mem, phi_syn, rate_mem, rate_syn, table, at, stride):
    """The columns of lanes.py for an arrival a time s before the end of its chunk, at table[at + column stride]."""
    table[at + A * stride], table[at + B * stride], table[at + M * stride] = e_syn, phi_s, e_mem
    table[at + T_I * stride], table[at + T_V * stride] = e_syn * rate_syn, phi_s * rate_syn - e_mem * rate_mem
    table[at + A_SYN * stride], table[at + B_MEM * stride] = e_syn * s * rate_syn * rate_syn, phi_mem
    table[at + B_SYN * stride], table[at + M_MEM * stride] = phi_syn, e_mem * s * rate_mem * rate_mem


@borrowing
def set_shared_row(s, tau_mem, tau_syn, with_taus, table, at):
    """`set_adjoint_row` for all neurons."""
    phi_mem, phi_syn = 0.0, 0.0
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    if with_taus:
        phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn, e_mem, e_syn, phi_s)
    set_adjoint_row(s, e_mem, e_syn, phi_s, phi_mem, phi_syn, 1.0 / tau_mem, 1.0 / tau_syn, table, at, 1)


@kernel
def set_returns(count, neurons, reach, way, returns):
    """Chunks and, for neurons alike, the table of a sample of `count` arrivals; returns the number of chunks."""
    chunks, k, arrival, with_taus = 0, count, returns.arrival, way.detail & TAUS != 0
    tau_mem, tau_syn = neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN]
    returns.begin[0] = count
    while k > 0:
        stop, end = k, arrival[k - 1]
        while k > 0 and stop - k < CHUNK and end - arrival[k - 1] <= reach:
            k -= 1
            returns.chunk_of[k], way.row_of[AHEAD + k] = chunks, returns.unit[k] * LANES
            if not way.own:
                set_shared_row(end - arrival[k], tau_mem, tau_syn, with_taus, way.table, k * NUM_ADJOINT)
        if not way.own and k > 0:
            at = way.steps + chunks * NUM_ADJOINT
            set_shared_row(end - arrival[k - 1], tau_mem, tau_syn, with_taus, way.table, at)
        chunks += 1
        returns.begin[chunks] = k
    return chunks


@borrowing
def set_own_adjoint_table(k0, k1, arrival, detail, table, factors):
    """The table of the arrivals k0 ... k1 - 1 for each neuron of a tile. The row of the last one needs no exponentials:
    those that are taken in its place lead to the end of the next chunk.
    """
    series, length, last, end = factors[SERIES:], factors[LENGTH : LENGTH + CHUNK], k1 - 1 - k0, arrival[k1 - 1]
    for e in range(last):
        length[e] = end - arrival[k0 + e]
    length[last] = end - arrival[max(k0 - 1, 0)]
    longest = length[last] * series[TOP]
    if longest > HIGH_REACH:
        set_long_adjoint_table(k0, k1, arrival, table, factors)
    elif longest > MIDDLE_REACH:
        fill_columns(table, length, last + 1, series, HIGH, detail)
    else:
        fill_columns(table, length, last + 1, series, MIDDLE, detail)


@embedded
def fill_columns(table, length, number, series, degree, detail):
    """`short_lanes.fill_returns`, the last two arguments of which must be literals."""
    if degree == HIGH:
        if detail == WEIGHTS:
            fill_returns(table, length, number, series, HIGH, WEIGHTS)
        elif detail == TIMES:
            fill_returns(table, length, number, series, HIGH, TIMES)
        elif detail == TAUS:
            fill_returns(table, length, number, series, HIGH, TAUS)
        else:
            fill_returns(table, length, number, series, HIGH, ALL)
    elif detail == WEIGHTS:
        fill_returns(table, length, number, series, MIDDLE, WEIGHTS)
    elif detail == TIMES:
        fill_returns(table, length, number, series, MIDDLE, TIMES)
    elif detail == TAUS:
        fill_returns(table, length, number, series, MIDDLE, TAUS)
    else:
        fill_returns(table, length, number, series, MIDDLE, ALL)


@borrowing
def set_long_adjoint_table(k0, k1, arrival, table, factors):
    """`set_own_adjoint_table` where a time is too long for a power series."""
    last = k1 - 1 - k0
    for e in range(CHUNK):
        s = arrival[k1 - 1] - arrival[max(k0 + e if e < last else k0 - 1, 0)] if e <= last else 0.0
        for n in range(LANES):
            factors[LENGTH + e * LANES + n] = s
    own_flow(factors, factors.view(np.int64), False)
    own_flow_gradient(factors)
    for e in range(last + 1):
        for n in range(LANES):
            m = e * LANES + n
            set_adjoint_row(
                factors[LENGTH + m], factors[OWN_MEM + m], factors[OWN_SYN + m], factors[OWN_PHI + m],
                factors[OWN_PHI_MEM + m], factors[OWN_PHI_SYN + m], factors[RATE_MEM + m], factors[RATE_SYN + m],
                table, (e if e < last else CHUNK) * NUM_ADJOINT * LANES + n, LANES,
            )  # fmt: skip
    for n in range(LANES):
        set_adjoint_row(
            0.0, 1.0, 1.0, 0.0, 0.0, 0.0, factors[RATE_MEM + n], factors[RATE_SYN + n], table,
            last * NUM_ADJOINT * LANES + n, LANES,
        )  # fmt: skip


@inlined
def row_at(k, k0, way):
    """Where in the table the row of arrival k of a chunk begins, and how far its columns lie apart."""
    if way.own:
        return NUM_ADJOINT * LANES * (k - k0), LANES
    return NUM_ADJOINT * k, 1


@inlined
def step_at(c, way):
    """Likewise the row that leads from the end of chunk c to that of the next one."""
    if way.own:
        return way.steps, LANES
    return way.steps + NUM_ADJOINT * c, 1


@embedded
def set_lane(n, s, k, k0, p_V, p_I, neuron, p, way):
    """The adjoint of lane n at the end of a chunk that is (p_V, p_I) a time s after arrival k of it."""
    tau_mem, tau_syn, table = neuron[TAU_MEM], neuron[TAU_SYN], way.table
    at, stride = row_at(k, k0, way)
    at += n if way.own else 0
    a, b, m = table[at + A * stride], table[at + B * stride], table[at + M * stride]
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    V, I = p_V * e_mem / m, p_I * e_syn + p_V * phi_s
    I = (I - V * b) / a
    p[P_V + n], p[P_I + n] = V, I
    if way.detail & TAUS:
        phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn, e_mem, e_syn, phi_s)
        V_mem = (p_V * e_mem * s / (tau_mem * tau_mem) - V * table[at + M_MEM * stride]) / m
        I_syn = p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn)
        p[V_BY_MEM + n] = V_mem
        p[I_BY_MEM + n] = (p_V * phi_mem - V_mem * b - V * table[at + B_MEM * stride]) / a
        p[I_BY_SYN + n] = (I_syn - I * table[at + A_SYN * stride] - V * table[at + B_SYN * stride]) / a


@borrowing
def step_lane(n, c, p, way):
    """The adjoint of lane n from the end of chunk c to that of the next one."""
    table = way.table
    at, stride = step_at(c, way)
    at += n if way.own else 0
    a, b, m = table[at + A * stride], table[at + B * stride], table[at + M * stride]
    p_V, p_I, V_mem = p[P_V + n], p[P_I + n], p[V_BY_MEM + n]
    if way.detail & TAUS:
        p[I_BY_MEM + n] = p[I_BY_MEM + n] * a + V_mem * b + p_V * table[at + B_MEM * stride]
        p[I_BY_SYN + n] = p[I_BY_SYN + n] * a + p_I * table[at + A_SYN * stride] + p_V * table[at + B_SYN * stride]
        p[V_BY_MEM + n] = V_mem * m + p_V * table[at + M_MEM * stride]
    p[P_V + n], p[P_I + n] = p_V * m, p_I * a + p_V * b


@embedded
def step_tile(c, p, way):
    """`step_lane` for all lanes."""
    table = way.table
    at, _ = step_at(c, way)
    if way.detail & TAUS:
        if way.own:
            step_chunk(p, table, at, TAUS, True)
        else:
            step_chunk(p, table, at, TAUS, False)
    elif way.own:
        step_chunk(p, table, at, TIMES, True)
    else:
        step_chunk(p, table, at, TIMES, False)


@kernel
def add_ghosts(ghosts, b, delay_row, duration, count, returns, scratch):
    """Put the ghosts among the inputs of sample b among its `count` arrivals; returns how many there are then. Of equal
    times a ghost comes last.
    """
    start, stop = ghosts.offsets[b], ghosts.offsets[b + 1]
    arrival, source = returns.arrival[count:], returns.source[count:]
    more = arrival_times(ghosts.times, ghosts.units, start, stop, delay_row, duration, arrival, source)
    for k in range(more):
        source[k] = -1 - source[k]
    if more > 0:
        sort_arrivals(count + more, returns.arrival, returns.source, *scratch)
    return count + more


@sum_kernel
def strength_in(tile, row, spare, way):
    """dL/dstrength of a ghost among the arrivals through a tile: the weights of its source, in row `row`, times p_I.

    It arrives with a spare row of weights, which are 0, so that all that was added up is p_I in the same row of `grad`;
    which is 0 again afterwards.
    """
    total = 0.0
    w, g = upwards(tile * way.size + row * LANES), upwards(tile * way.size + spare * LANES)
    for m in range(upwards(LANES)):
        total += way.weights[w + m] * way.grad[g + m]
        way.grad[g + m] = 0.0
    return total


@borrowing
def credit(n, k, k0, tile, p, way):
    """Add the gradients of arrival k of a chunk at lane n of a tile, whose adjoint at the end of the chunk is in p."""
    table, row = way.table, tile * way.size + way.row_of[AHEAD + k] + n
    at, stride = row_at(k, k0, way)
    at += n if way.own else 0
    p_V, p_I, w, a, b = p[P_V + n], p[P_I + n], way.weights[row], table[at + A * stride], table[at + B * stride]
    way.grad[row] += p_V * b + p_I * a
    if way.detail & TIMES:
        way.times[k - k0] += w * (p_V * table[at + T_V * stride] + p_I * table[at + T_I * stride])
    if way.detail & TAUS:
        by_mem = p[I_BY_MEM + n] * a + p[V_BY_MEM + n] * b + p_V * table[at + B_MEM * stride]
        by_syn = p[I_BY_SYN + n] * a + p_I * table[at + A_SYN * stride] + p_V * table[at + B_SYN * stride]
        p[ACC_MEM + n] += w * by_mem
        p[ACC_SYN + n] += w * by_syn


@embedded
def carry(k0, first, stop, tile, p, way):
    """`lanes.carry_chunk` for the arrivals first ... stop - 1 of a chunk; its last two arguments must be literals."""
    row_of, table, times, weights, grad = way.row_of, way.table, way.times, way.weights, way.grad
    rows, number, detail, own = tile * way.size, stop - first, way.detail, way.own
    if detail == WEIGHTS:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, WEIGHTS, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, WEIGHTS, False)
    elif detail == TIMES:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, TIMES, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, TIMES, False)
    elif detail == TAUS:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, TAUS, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, TAUS, False)
    elif own:
        carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, ALL, True)
    else:
        carry_chunk(p, grad, weights, rows, row_of, table, k0, first, number, times, ALL, False)
