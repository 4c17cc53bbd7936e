"""The backward pass with recurrent connections, event by event: the counterpart of recurrent_sweep.py.

As sweep_backward.py, but all tiles go back through a chunk before any goes on; its arrivals are those of input spikes
and of own spikes. What arrives later than a spike has been seen when the pass comes to it, so that its dL/dT is
complete: within a chunk, neurons for which a segment begins there go alone, all together from arrival to arrival.
"""

from typing import NamedTuple

import numpy as np

from .arrivals import longest_sample, ordered_arrivals, sort_arrivals
from .backward import END, KINK, P_I_RELEASE
from .backward import P_I as SEGMENT_P_I
from .backward import P_V as SEGMENT_P_V
from .chain import (
    C_END,
    C_KINK,
    Chain,
    begin_chain,
    follow_chain,
    most_spikes,
    new_chain,
    rows_of,
)
from .course import CHUNK_REACH, share_taus, shortest_tau
from .jit import borrowing, inlined, kernel
from .lanes import ACC_MEM, ACC_SYN, ADJOINT_SIZE, ALL, CHUNK, LANES, TIMES, aligned
from .layout import TAU_MEM, TAU_SYN, TIME
from .own_flow import new_factors
from .reset import is_ghost, release_of
from .returns import (
    OWN_TABLE,
    Returns,
    add_ghosts,
    carry,
    credit,
    new_returns,
    new_way,
    set_lane,
    set_own_adjoint_table,
    set_returns,
    step_lane,
    step_tile,
    strength_in,
    with_table,
)

# Where the adjoint of a neuron is set anew, going back: at a release of V, a spike, the peak. In this order, so that of
# equal times the later one in a neuron's life comes first on the way back.
AT_RELEASE, AT_SPIKE, AT_PEAK = range(3)
KINDS = 3


class Bounds(NamedTuple):
    """All boundaries of a sample, in order: time, and label = neuron KINDS + kind."""

    time: np.ndarray
    label: np.ndarray


class Moves(NamedTuple):
    """dL/dt of arrivals, added up: by_source: of each spike, those of the inputs first; by_row: of each delay, those of
    the inputs first.
    """

    by_source: np.ndarray
    by_row: np.ndarray


class Sample(NamedTuple):
    """One sample on the way back. number: of all arrivals, those of own spikes too; inputs: how many input spikes there
    are; first_own: the row of the weights where those of the layer begin, first_spare: where they end; then its own
    spikes, its boundaries, its arrivals, and what these add up.
    """

    number: int
    inputs: int
    first_own: int
    first_spare: int
    chain: Chain
    bounds: Bounds
    returns: Returns
    moves: Moves


class Chunk(NamedTuple):
    """Chunk `number`: the arrivals first ... stop - 1, and the boundaries low + 1 ... high."""

    number: int
    first: int
    stop: int
    low: int
    high: int


class Adjoint(NamedTuple):
    """p (tiles, ADJOINT_SIZE); table, factors: of each tile, if the neurons differ; of the neurons that go alone:
    which, alone[:number[0]]; is_alone (N,); kept, their p at the end of the chunk. total (CHUNK,): dL/dt of the
    arrivals of the chunk through those that do not.
    """

    p: np.ndarray
    table: np.ndarray
    factors: np.ndarray
    alone: np.ndarray
    number: np.ndarray
    is_alone: np.ndarray
    kept: np.ndarray
    total: np.ndarray


@kernel
def new_adjoint(neurons, tiles, own):
    """Room for all neurons."""
    N, rates = neurons.parameters.shape[0], 1.0 / neurons.parameters[:, :3]
    factors = new_factors(tiles, rates, False)
    p = aligned(tiles * ADJOINT_SIZE).reshape((tiles, ADJOINT_SIZE))
    tables = tiles if own else 0
    p[:] = 0.0
    return Adjoint(
        p, aligned(tables * OWN_TABLE).reshape((tables, OWN_TABLE)), factors, np.empty(N, np.int64),
        np.zeros(1, np.int64), np.zeros(N, np.bool_), np.empty_like(p), np.empty(CHUNK),
    )  # fmt: skip


@kernel
def merge_arrivals(events, ghosts, b, synapses, recurrent_delay, neurons, buffer, chain, returns, scratch):
    """Fill arrival, source and unit with all arrivals of sample b, in order. Returns how many.

    source: the number of the input spike in the sample, or behind all of them that of the own spike or ghost, which of
    equal times arrives last.
    """
    begin, stride, first = chain.begin[0], 1 if recurrent_delay.size > 1 else 0, events.offsets[b]
    arrival, source, inputs = returns.arrival, returns.source, events.offsets[b + 1] - first
    count = ordered_arrivals(events, b, synapses.delay[0], neurons.duration, arrival, source, *scratch)
    source[:count] -= first
    N, M = neurons.parameters.shape[0], synapses.weight.shape[1]
    for own_ghosts in range(2 if neurons.smoothing > 0.0 else 1):
        for n in range(N):
            for row in range(chain.start[n], chain.start[n + 1]):
                t = buffer.rows[row, TIME] + recurrent_delay[n * stride]
                if t < neurons.duration and is_ghost(buffer.rows[row]) == (own_ghosts > 0):
                    arrival[count], source[count] = t, inputs + row - begin
                    count += 1
    sort_arrivals(count, arrival, source, *scratch)
    count = add_ghosts(ghosts, b, synapses.delay[0], neurons.duration, count, returns, scratch)
    for k in range(count):
        if source[k] < 0 or (source[k] >= inputs and is_ghost(buffer.rows[begin + source[k] - inputs])):
            returns.unit[k] = M + N + k % CHUNK
        elif source[k] < inputs:
            returns.unit[k] = events.units[first + source[k]]
        else:
            returns.unit[k] = M + chain.owner[source[k] - inputs]
    return count


@kernel
def list_boundaries(neurons, buffer, chain, bounds, scratch):
    """Fill `bounds`; returns how many there are."""
    number, time, label = 0, bounds.time, bounds.label
    for kind in range(KINDS):
        for n in range(neurons.parameters.shape[0]):
            rows, neuron = rows_of(n, chain, buffer), neurons.parameters[n]
            if kind == AT_PEAK and chain.last_counts[n]:
                time[number], label[number] = chain.carried[n, C_END], n * KINDS + kind
                number += 1
            for m in range(rows.shape[0] if kind != AT_PEAK else 0):
                t = release_of(rows[m], neuron) if kind == AT_RELEASE else rows[m, TIME]
                if kind == AT_SPIKE or rows[m, TIME] < t < neurons.duration:
                    time[number], label[number] = t, n * KINDS + kind
                    number += 1
    sort_arrivals(number, time, label, *scratch)
    return number


@borrowing
def set_aside(low, high, bounds, adjoint):
    """The neurons with boundaries low + 1 ... high go alone: the others must not see their p."""
    adjoint.number[0] = 0
    for j in range(low + 1, high + 1):
        n = bounds.label[j] // KINDS
        if not adjoint.is_alone[n]:
            adjoint.is_alone[n], adjoint.alone[adjoint.number[0]] = True, n
            adjoint.number[0] += 1
            p, kept, m = adjoint.p[n // LANES], adjoint.kept[n // LANES], n % LANES
            for row in range(0, ACC_MEM, LANES):
                kept[row + m], p[row + m] = p[row + m], 0.0


@borrowing
def put_back(adjoint):
    """The p of the neurons that go alone, at the end of the chunk."""
    for j in range(adjoint.number[0]):
        n = adjoint.alone[j]
        p, kept, m = adjoint.p[n // LANES], adjoint.kept[n // LANES], n % LANES
        adjoint.is_alone[n] = False
        for row in range(0, ACC_MEM, LANES):
            p[row + m] = kept[row + m]


@borrowing
def carry_all(chunk, arrival, adjoint, way):
    """All tiles back through the arrivals of a chunk, to the end of the next one; fills adjoint.total."""
    k0, k1, total = chunk.first, chunk.stop, adjoint.total
    for j in range(CHUNK):
        total[j] = 0.0
    for tile in range(adjoint.p.shape[0]):
        p, part = adjoint.p[tile], with_table(adjoint.table[tile] if way.own else way.table, way)
        if way.own:
            set_own_adjoint_table(k0, k1, arrival, way.detail, part.table, adjoint.factors[tile])
        carry(k0, k0, k1, tile, p, part)
        if k0 > 0:
            step_tile(chunk.number, p, part)
        for j in range(k1 - k0):
            total[j] += way.times[j]


@inlined
def way_of(n, adjoint, way):
    """The same with the table of neuron n."""
    return with_table(adjoint.table[n // LANES] if way.own else way.table, way)


@borrowing
def credit_alone(k, chunk, adjoint, way):
    """Add the gradients of arrival k of a chunk at the neurons that go alone."""
    for j in range(adjoint.number[0]):
        n = adjoint.alone[j]
        credit(n % LANES, k, chunk.first, n // LANES, adjoint.p[n // LANES], way_of(n, adjoint, way))


@borrowing
def step_alone(chunk, adjoint, way):
    """The neurons that go alone, to the end of the next chunk."""
    for j in range(adjoint.number[0]):
        n = adjoint.alone[j]
        step_lane(n % LANES, chunk.number, adjoint.p[n // LANES], way_of(n, adjoint, way))


@borrowing
def move(k, grad_t, returns, moves):
    """dL/dt of arrival k is dL/dt of the spike and dL/ddelay of the row that it comes from."""
    moves.by_source[returns.source[k]] += grad_t
    moves.by_row[returns.unit[k]] += grad_t


@borrowing
def move_ghost(k, ghosts, sample, strengths, way):
    """dL/dstrength of the ghost that arrives as k, of the layer or among its inputs: those are `ghosts`."""
    source, spare, total = sample.returns.source[k], sample.returns.unit[k], 0.0
    of_input = source < 0
    row = ghosts.units[-1 - source] if of_input else sample.first_own + sample.chain.owner[source - sample.inputs]
    for tile in range(way.weights.size // way.size):
        total += strength_in(tile, row, spare, way)
    if of_input:
        strengths[-1 - source] += total
    else:
        sample.moves.by_source[source] += total


@kernel
def add_moves(by_row, delay):
    """Add to `delay`, dL/ddelay (1, rows) or (1, 1)."""
    for i in range(by_row.size):
        delay[0, i if delay.shape[1] > 1 else 0] += by_row[i]


@borrowing
def cross_boundary(j, after, sample, neurons, buffer, sent, grad):
    """Back over boundary j, behind which arrival `after` is the first. Adds to grad, that of `parameters`.

    Returns whether what arrives before it has an effect, and the adjoint there (p_V, p_I).
    """
    time, n, kind = sample.bounds.time[j], sample.bounds.label[j] // KINDS, sample.bounds.label[j] % KINDS
    chain, arrival, begin = sample.chain, sample.returns.arrival, sample.chain.begin[0]
    if kind == AT_PEAK and after < sample.number and arrival[after] == time:
        move(after, chain.carried[n, C_KINK], sample.returns, sample.moves)
    if kind == AT_SPIKE:
        spike = chain.start[n] + chain.left[n] - 1
        G = sent.grad_rows[spike] + sample.moves.by_source[sample.inputs + spike - begin]
        follow_chain(n, G, neurons, buffer, sent.min_slope, sent.with_taus, grad, chain)
        if is_ghost(buffer.rows[spike]) and after < sample.number and arrival[after] == time:  # a kink
            move(after, chain.segments[spike + 1 - begin + n, KINK], sample.returns, sample.moves)
    last = chain.start[n] + chain.left[n] - 1  # the row of the spike before
    segment = chain.segments[last + 1 - begin + n]
    if kind == AT_RELEASE:
        return segment[END] >= time, 0.0, segment[P_I_RELEASE]
    if chain.left[n] > 0 and segment[END] < release_of(buffer.rows[last], neurons.parameters[n]):
        return False, 0.0, 0.0
    return True, segment[SEGMENT_P_V], segment[SEGMENT_P_I]


@borrowing
def return_chunk(chunk, sample, neurons, buffer, sent, grad, adjoint, way, ghosts, strengths):
    """All neurons back through the arrivals of a chunk, and over its boundaries."""
    bounds, returns, high = sample.bounds, sample.returns, chunk.high
    set_aside(chunk.low, high, bounds, adjoint)
    carry_all(chunk, returns.arrival, adjoint, way)
    put_back(adjoint)
    for k in range(chunk.stop - 1, chunk.first - 1, -1):
        t = returns.arrival[k]
        while high > chunk.low and bounds.time[high] > t:
            counts, p_V, p_I = cross_boundary(high, k + 1, sample, neurons, buffer, sent, grad)
            if counts:
                n = bounds.label[high] // KINDS
                set_lane(
                    n % LANES, bounds.time[high] - t, k, chunk.first, p_V, p_I, neurons.parameters[n],
                    adjoint.p[n // LANES], way_of(n, adjoint, way),
                )  # fmt: skip
            high -= 1
        way.times[k - chunk.first] = adjoint.total[k - chunk.first]
        credit_alone(k, chunk, adjoint, way)
        if returns.unit[k] >= sample.first_spare:
            move_ghost(k, ghosts, sample, strengths, way)
        else:
            move(k, way.times[k - chunk.first], returns, sample.moves)
    if chunk.first > 0:
        step_alone(chunk, adjoint, way)


@borrowing
def return_sample(chunks, high, sample, neurons, buffer, sent, grad, adjoint, way, ghosts, strengths):
    """All neurons back through the chunks of a sample, and over its boundaries 0 ... high."""
    bounds, returns, active = sample.bounds, sample.returns, False
    for c in range(chunks):
        k0, k1, low = returns.begin[c + 1], returns.begin[c], high
        while low >= 0 and bounds.time[low] > returns.arrival[k0]:
            low -= 1
        active |= low < high
        if active:  # else nothing depends on it
            chunk = Chunk(c, k0, k1, low, high)
            return_chunk(chunk, sample, neurons, buffer, sent, grad, adjoint, way, ghosts, strengths)
            high = low
    for j in range(high, -1, -1):
        cross_boundary(j, 0, sample, neurons, buffer, sent, grad)


@kernel
def recurrent_sweep_backward(
    events, ghosts, synapses, recurrent, weights, neurons, span, buffer, sent, gradients, recurrent_gradients
):
    """As neuron_major_backward.neuron_major_backward, for what recurrent_sweep_forward can do.

    weights as there; gradients.weight has the same shape here, and holds those of the recurrent weights too.
    """
    N, M, grad = neurons.parameters.shape[0], synapses.weight.shape[1], gradients.parameters
    own, reach = not share_taus(neurons.parameters), CHUNK_REACH * shortest_tau(neurons.parameters)
    chain = new_chain(N, most_spikes(buffer, span.first, span.last))
    spikes = chain.owner.size
    longest = longest_sample(events, span.first, span.last) + longest_sample(ghosts, span.first, span.last) + spikes
    room = max(longest, 2 * spikes + N)
    scratch = np.empty(room), np.empty(room, np.int64), np.empty(room + 1, np.int64)
    bounds = Bounds(np.empty(2 * spikes + N), np.empty(2 * spikes + N, np.int64))
    returns, moves = new_returns(longest), Moves(np.empty(longest), np.zeros(M + N + CHUNK))
    # dL/dt of own spikes is wanted in any case
    way = new_way(longest, weights, gradients.weight, ALL if sent.with_taus else TIMES, own)
    adjoint, row = new_adjoint(neurons, weights.shape[0], own), span.row
    for b in range(span.first, span.last):
        inputs = events.offsets[b + 1] - events.offsets[b]
        begin_chain(b, row, neurons, buffer, sent.peaks, sent.grad_peak, sent.with_taus, grad, chain)
        row = chain.start[N]
        count = merge_arrivals(
            events, ghosts, b, synapses, recurrent.delay[0], neurons, buffer, chain, returns, scratch
        )
        chunks = set_returns(count, neurons, reach, way, returns)
        high = list_boundaries(neurons, buffer, chain, bounds, scratch) - 1
        moves.by_source[:], adjoint.p[:, :ACC_MEM] = 0.0, 0.0
        sample = Sample(count, inputs, M, M + N, chain, bounds, returns, moves)
        return_sample(
            chunks, high, sample, neurons, buffer, sent, grad, adjoint, way, ghosts, gradients.strengths
        )  # fmt: skip
        gradients.times[events.offsets[b] : events.offsets[b + 1]] += moves.by_source[:inputs]
    add_moves(moves.by_row[:M], gradients.delay)
    add_moves(moves.by_row[M : M + N], recurrent_gradients.delay)
    for n in range(N if sent.with_taus else 0):
        grad[n, TAU_MEM] += adjoint.p[n // LANES, ACC_MEM + n % LANES]
        grad[n, TAU_SYN] += adjoint.p[n // LANES, ACC_SYN + n % LANES]
