"""A tile back through a chunk of arrivals, and single lanes: what both event-major backward passes consist of."""

from typing import NamedTuple

import numpy as np

from .flow import flow, phi_gradient
from .jit import borrowing, inlined, kernel
from .lanes import (
    A_SYN,
    ACC_MEM,
    ACC_SYN,
    AHEAD,
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
    carry_chunk,
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
    own_flow,
    own_flow_gradient,
)


class Returns(NamedTuple):
    """The arrivals of a sample on the way back, in chunks: chunk c holds the arrivals begin[c + 1] ... begin[c] - 1 and
    ends with the next one after them.

    arrival, source, unit (count,): as `local_arrivals` fills them; chunk_of (count,).
    """

    arrival: np.ndarray
    source: np.ndarray
    unit: np.ndarray
    begin: np.ndarray
    chunk_of: np.ndarray


class Way(NamedTuple):
    """What `lanes.carry_chunk` needs of the arrivals: its table, row_of, and grad_times (CHUNK,); and of the synapses:
    their weights and dL/dweight, both flat, a tile after the other, of which each has `size` numbers.

    detail: which gradients are wanted; own: whether each neuron of a tile has a table of its own.
    """

    table: np.ndarray
    row_of: np.ndarray
    times: np.ndarray
    weights: np.ndarray
    grad: np.ndarray
    size: int
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
    """Likewise; neurons that are not alike have a table of one chunk. weights: `sweep.by_input`."""
    room = NUM_ADJOINT * (FLOWS if own else longest)
    return Way(
        np.empty(room), np.zeros(longest + AHEAD, np.int64), np.empty(CHUNK), weights.reshape(-1),
        grad_weights.reshape(-1), weights.shape[1] * LANES, detail, own,
    )  # fmt: skip


@inlined
def with_table(table, way):
    """The same with the table of another tile."""
    return Way(table, way.row_of, way.times, way.weights, way.grad, way.size, way.detail, way.own)


@borrowing
def set_adjoint_row(s, e_mem, e_syn, phi_s, phi_mem, phi_syn, rate_mem, rate_syn, table, at, stride):
    """The columns of lanes.py for an arrival a time s before the end of its chunk, at table[at + column stride]."""
    table[at + A * stride], table[at + B * stride], table[at + M * stride] = e_syn, phi_s, e_mem
    table[at + T_I * stride], table[at + T_V * stride] = e_syn * rate_syn, phi_s * rate_syn - e_mem * rate_mem
    table[at + A_SYN * stride], table[at + B_MEM * stride] = e_syn * s * rate_syn * rate_syn, phi_mem
    table[at + B_SYN * stride], table[at + M_MEM * stride] = phi_syn, e_mem * s * rate_mem * rate_mem


@kernel
def set_returns(count, neurons, reach, way, returns):
    """Chunks and, for neurons alike, the table of a sample of `count` arrivals; returns the number of chunks."""
    chunks, k, arrival, duration = 0, count, returns.arrival, neurons.duration
    tau_mem, tau_syn = neurons.parameters[0, TAU_MEM], neurons.parameters[0, TAU_SYN]
    returns.begin[0] = count
    while k > 0:
        stop, end = k, arrival[k] if k < count else duration
        while k > 0 and stop - k < CHUNK and (k == stop or end - arrival[k - 1] <= reach):
            k -= 1
            returns.chunk_of[k], way.row_of[AHEAD + k] = chunks, returns.unit[k] * LANES
            if not way.own:
                s, phi_mem, phi_syn = end - arrival[k], 0.0, 0.0
                e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
                if way.detail == TAUS:
                    _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
                set_adjoint_row(
                    s, e_mem, e_syn, phi_s, phi_mem, phi_syn, 1.0 / tau_mem, 1.0 / tau_syn, way.table,
                    k * NUM_ADJOINT, 1,
                )  # fmt: skip
        chunks += 1
        returns.begin[chunks] = k
    return chunks


@borrowing
def set_own_adjoint_table(k0, k1, end, arrival, table, factors):
    """The table of the arrivals k0 ... k1 - 1 for each neuron of a tile."""
    for e in range(CHUNK):
        s = end - arrival[k0 + e] if k0 + e < k1 else 0.0
        for n in range(LANES):
            factors[LENGTH + e * LANES + n] = s
    own_flow(factors, factors.view(np.int64), False)
    own_flow_gradient(factors)
    for e in range(k1 - k0):
        for n in range(LANES):
            m = e * LANES + n
            set_adjoint_row(
                factors[LENGTH + m], factors[OWN_MEM + m], factors[OWN_SYN + m], factors[OWN_PHI + m],
                factors[OWN_PHI_MEM + m], factors[OWN_PHI_SYN + m], factors[RATE_MEM + m], factors[RATE_SYN + m],
                table, e * NUM_ADJOINT * LANES + n, LANES,
            )  # fmt: skip


@borrowing
def set_adjoint(n, s, p_V, p_I, tau_mem, tau_syn, with_taus, p):
    """The adjoint of lane n where it is (p_V, p_I) a time s later."""
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    p[P_V + n], p[P_I + n] = p_V * e_mem, p_I * e_syn + p_V * phi_s
    if with_taus:
        _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
        p[V_BY_MEM + n], p[I_BY_MEM + n] = p_V * e_mem * s / (tau_mem * tau_mem), p_V * phi_mem
        p[I_BY_SYN + n] = p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn)


@borrowing
def step_lane(n, k0, p, way):
    """The adjoint of lane n at the first arrival, k0, of a chunk from that at its end."""
    table, at, stride = way.table, n if way.own else NUM_ADJOINT * k0, LANES if way.own else 1
    a, b, m = table[at + A * stride], table[at + B * stride], table[at + M * stride]
    p_V, p_I, V_mem = p[P_V + n], p[P_I + n], p[V_BY_MEM + n]
    if way.detail == TAUS:
        p[I_BY_MEM + n] = p[I_BY_MEM + n] * a + V_mem * b + p_V * table[at + B_MEM * stride]
        p[I_BY_SYN + n] = p[I_BY_SYN + n] * a + p_I * table[at + A_SYN * stride] + p_V * table[at + B_SYN * stride]
        p[V_BY_MEM + n] = V_mem * m + p_V * table[at + M_MEM * stride]
    p[P_V + n], p[P_I + n] = p_V * m, p_I * a + p_V * b


@borrowing
def put_at_end(n, s, p_V, p_I, neuron, with_taus, p):
    """The adjoint of lane n at the end of a chunk that is (p_V, p_I) a time s before, at most about a time constant."""
    tau_mem, tau_syn = neuron[TAU_MEM], neuron[TAU_SYN]
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    p_V = p_V / e_mem
    p_I = (p_I - p_V * phi_s) / e_syn
    p[P_V + n], p[P_I + n] = p_V, p_I
    if with_taus:  # so that the derivatives vanish at the time s before the end
        _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
        p[V_BY_MEM + n] = -p_V * s / (tau_mem * tau_mem)
        p[I_BY_MEM + n] = -(p[V_BY_MEM + n] * phi_s + p_V * phi_mem) / e_syn
        p[I_BY_SYN + n] = -p_I * s / (tau_syn * tau_syn) - p_V * phi_syn / e_syn


@borrowing
def credit(n, k0, first, stop, tile, p, way):
    """Add the gradients of the arrivals first ... stop - 1 of a chunk at lane n of a tile, whose adjoint at the end of
    the chunk is in p.
    """
    own, stride, table, weights = way.own, LANES if way.own else 1, way.table, way.weights
    for k in range(first, stop):
        row = tile * way.size + way.row_of[AHEAD + k] + n
        at = NUM_ADJOINT * LANES * (k - k0) + n if own else NUM_ADJOINT * k
        p_V, p_I, a, b = p[P_V + n], p[P_I + n], table[at + A * stride], table[at + B * stride]
        way.grad[row] += p_V * b + p_I * a
        if way.detail >= TIMES:
            way.times[k - k0] += weights[row] * (p_V * table[at + T_V * stride] + p_I * table[at + T_I * stride])
        if way.detail == TAUS:
            by_mem = p[I_BY_MEM + n] * a + p[V_BY_MEM + n] * b + p_V * table[at + B_MEM * stride]
            by_syn = p[I_BY_SYN + n] * a + p_I * table[at + A_SYN * stride] + p_V * table[at + B_SYN * stride]
            p[ACC_MEM + n] += weights[row] * by_mem
            p[ACC_SYN + n] += weights[row] * by_syn


@borrowing
def credit_here(n, k0, k, tile, neuron, p, way):
    """Add the gradients of arrival k of a chunk at lane n of a tile, whose adjoint right then is in p."""
    row, weights = tile * way.size + way.row_of[AHEAD + k] + n, way.weights
    way.grad[row] += p[P_I + n]
    if way.detail >= TIMES:
        way.times[k - k0] += weights[row] * (p[P_I + n] / neuron[TAU_SYN] - p[P_V + n] / neuron[TAU_MEM])
    if way.detail == TAUS:
        p[ACC_MEM + n] += weights[row] * p[I_BY_MEM + n]
        p[ACC_SYN + n] += weights[row] * p[I_BY_SYN + n]


@borrowing
def carry(k0, number, tile, p, way):
    """`lanes.carry_chunk`, whose last two arguments must be literals."""
    row_of, table, times, weights, grad = way.row_of, way.table, way.times, way.weights, way.grad
    rows, detail, own = tile * way.size, way.detail, way.own
    if detail == WEIGHTS:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, WEIGHTS, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, WEIGHTS, False)
    elif detail == TIMES:
        if own:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TIMES, True)
        else:
            carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TIMES, False)
    elif own:
        carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TAUS, True)
    else:
        carry_chunk(p, grad, weights, rows, row_of, table, k0, number, times, TAUS, False)
