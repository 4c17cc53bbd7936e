"""The backward pass with recurrent connections, event by event: the counterpart of recurrent_sweep.py.

One vectorised pass back over the arrivals of input spikes and of own spikes carries the adjoint of all neurons. What
arrives later than a spike has been seen when the pass comes to it, so that its dL/dT is complete.
"""

from math import inf

import numpy as np

from .arrivals import longest_sample, ordered_arrivals, sort_arrivals
from .backward import END, P_I, P_I_RELEASE, P_V
from .jit import kernel
from .layout import REFRACTORY, TAU_MEM, TAU_SYN, TIME
from .passes import (
    ADJOINT_I,
    ADJOINT_SIZE,
    E_MEM,
    E_SYN,
    NUM_SHARED,
    PHI,
    add_taus,
    carry,
    carry_own,
    set_adjoint,
    set_interval,
    time_gradient,
)
from .recurrent_backward import (
    C_END,
    C_KINK,
    begin_chain,
    follow_chain,
    new_chain,
    rows_of,
    segments_of,
)
from .sweep import share_taus
from .tile import FACTORS_SIZE, LENGTH, TILE, aligned, own_flow, own_flow_gradient, set_rates

# Where the adjoint of a neuron is set anew, going back: at a release of V, a spike, the peak. In this order, so that of
# equal times the later one in a neuron's life comes first on the way back.
AT_RELEASE, AT_SPIKE, AT_PEAK = range(3)
KINDS = 3


@kernel
def merge_arrivals(events, b, synapses, recurrent_delay, neurons, buffer, chain, arrival, source, scratch):
    """Fill arrival and source with all arrivals of sample b, in order: of input spikes, source >= 0 their number, and
    of own spikes, source = -1 - the position of their row in the sample. Returns how many.
    """
    begin, stride = chain.begin[0], 1 if recurrent_delay.size > 1 else 0
    count = ordered_arrivals(events, b, synapses.delay[0], neurons.duration, arrival, source, *scratch)
    for n in range(neurons.parameters.shape[0]):
        for row in range(chain.start[n], chain.start[n + 1]):
            t = buffer.rows[row, TIME] + recurrent_delay[n * stride]
            if t < neurons.duration:
                arrival[count], source[count] = t, -1 - (row - begin)
                count += 1
    sort_arrivals(count, arrival, source, *scratch)
    return count


@kernel
def list_boundaries(neurons, buffer, chain, time, label, scratch):
    """Fill time and label = neuron KINDS + kind with all boundaries, in order; returns how many."""
    number = 0
    for kind in range(KINDS):
        for n in range(neurons.parameters.shape[0]):
            rows, refractory = rows_of(n, chain, buffer), neurons.parameters[n, REFRACTORY]
            if kind == AT_PEAK and chain.last_counts[n]:
                time[number], label[number] = chain.carried[n, C_END], n * KINDS + kind
                number += 1
            for m in range(rows.shape[0] if kind != AT_PEAK else 0):
                t = rows[m, TIME] + (refractory if kind == AT_RELEASE else 0.0)
                if kind == AT_SPIKE or (refractory > 0.0 and t < neurons.duration):
                    time[number], label[number] = t, n * KINDS + kind
                    number += 1
    sort_arrivals(number, time, label, *scratch)
    return number


@kernel
def deliver(grad_t, source, events, synapses, recurrent, chain, gradients, recurrent_gradients, grad_spikes):
    """Add dL/dt of an arrival to the spike and the delay that it comes from."""
    if source >= 0:
        stride = 1 if synapses.delay.shape[1] > 1 else 0
        gradients.times[source] += grad_t
        gradients.delay[0, events.units[source] * stride] += grad_t
    else:
        stride = 1 if recurrent.delay.shape[1] > 1 else 0
        grad_spikes[-1 - source] += grad_t
        recurrent_gradients.delay[0, chain.owner[-1 - source] * stride] += grad_t


@kernel
def step_back(s, column, p, factors, interval, neurons, own, weights, grad_weight):
    """The adjoint of all tiles back over an interval of length s, to an arrival: the row `column` of the weights."""
    if not own:
        set_interval(s, neurons.parameters[0], False, 0.0, interval)
    for tile in range(p.shape[0]):
        offset = (tile * weights.shape[1] + column) * TILE
        if own:
            factors[tile][LENGTH : LENGTH + TILE] = s
            own_flow(factors[tile], factors[tile].view(np.int64), False)
            own_flow_gradient(factors[tile])
            carry_own(s, p[tile], factors[tile], grad_weight, offset)
        else:
            carry(p[tile], interval[E_MEM], interval[E_SYN], interval[PHI], grad_weight, offset)


@kernel
def recurrent_sweep_backward(
    events, synapses, recurrent, weights, neurons, first, last, buffer, row_offset, grad_rows, peaks, grad_peak,
    min_slope, with_taus, gradients, recurrent_gradients,
):  # fmt: skip
    """As recurrent_backward.recurrent_backward, for what recurrent_sweep_forward can do.

    weights as there; gradients.weight has the same shape here, and holds those of the recurrent weights too.
    """
    N, M, tiles = neurons.parameters.shape[0], synapses.weight.shape[1], weights.shape[0]
    alike, grad = share_taus(neurons.parameters), gradients.parameters
    own = with_taus or not alike
    chain = new_chain(N, buffer, first, last)
    spikes = chain.owner.size
    longest = longest_sample(events, first, last) + spikes
    arrival, source = np.empty(longest), np.empty(longest, np.int64)
    room = max(longest, 2 * spikes + N)
    scratch = np.empty(room), np.empty(room, np.int64), np.empty(room + 1, np.int64)
    time, label = np.empty(2 * spikes + N), np.empty(2 * spikes + N, np.int64)
    values, target = np.empty((2 * spikes + N, 3)), np.empty(2 * spikes + N, np.int64)
    kept, grad_spikes = np.empty(2 * spikes + N), np.empty(spikes)
    p = aligned(tiles * ADJOINT_SIZE).reshape((tiles, ADJOINT_SIZE))
    factors = aligned(tiles * FACTORS_SIZE).reshape((tiles, FACTORS_SIZE))
    grad_taus, interval = aligned(2 * tiles * TILE).reshape((tiles, 2 * TILE)), np.empty(NUM_SHARED)
    for tile in range(tiles):
        set_rates(neurons.parameters[tile * TILE : min((tile + 1) * TILE, N)], alike, factors[tile])
    flat_weights, grad_weight = weights.reshape(-1), gradients.weight.reshape(-1)
    grad_taus[:] = 0.0
    row = row_offset
    for b in range(first, last):
        begin_chain(b, row, neurons, buffer, peaks, grad_peak, with_taus, grad, chain)
        row, begin = chain.start[N], chain.begin[0]
        count = merge_arrivals(
            events, b, synapses, recurrent.delay[0], neurons, buffer, chain, arrival, source, scratch
        )
        position = list_boundaries(neurons, buffer, chain, time, label, scratch) - 1
        grad_spikes[:], p[:] = 0.0, 0.0
        active = False
        for k in range(count - 1, -2, -1):
            t = arrival[k] if k >= 0 else -inf
            column = 0
            if k >= 0:
                column = events.units[source[k]] if source[k] >= 0 else M + chain.owner[-1 - source[k]]
            number = 0
            while position >= 0 and time[position] > t:
                n, kind = label[position] // KINDS, label[position] % KINDS
                if kind == AT_SPIKE:
                    spike = chain.start[n] + chain.left[n] - 1
                    G = grad_rows[spike] + grad_spikes[spike - begin]
                    follow_chain(n, G, neurons, buffer, min_slope, with_taus, grad, chain)
                elif kind == AT_PEAK and k + 1 < count and time[position] == arrival[k + 1]:
                    deliver(
                        chain.carried[n, C_KINK], source[k + 1], events, synapses, recurrent, chain, gradients,
                        recurrent_gradients, grad_spikes,
                    )  # fmt: skip
                segment = segments_of(n, chain)[chain.left[n]]
                p_V, p_I = segment[P_V], segment[P_I]
                held = False
                if kind == AT_RELEASE:
                    held = segment[END] < time[position]
                    p_V, p_I = 0.0, segment[P_I_RELEASE]
                elif chain.left[n] > 0:
                    release = buffer.rows[chain.start[n] + chain.left[n] - 1, TIME] + neurons.parameters[n, REFRACTORY]
                    held = segment[END] < release
                if k >= 0 and not held:  # else nothing depends on what arrives here
                    target[number] = n
                    values[number, 0], values[number, 1], values[number, 2] = time[position], p_V, p_I
                    kept[number] = grad_weight[((n // TILE) * weights.shape[1] + column) * TILE + n % TILE]
                    number += 1
                position -= 1
            active |= number > 0
            if k < 0 or not active:
                continue
            s = (arrival[k + 1] if k + 1 < count else neurons.duration) - t
            step_back(s, column, p, factors, interval, neurons, own, weights, grad_weight)
            for m in range(number):
                n = target[m]
                T, p_V, p_I = values[m]
                tile, lane, neuron = n // TILE, n % TILE, neurons.parameters[n]
                set_adjoint(lane, T - t, p_V, p_I, neuron[TAU_MEM], neuron[TAU_SYN], own, p[tile])
                offset = (tile * weights.shape[1] + column) * TILE + lane
                grad_weight[offset] = kept[m] + p[tile, ADJOINT_I + lane]
            grad_t = 0.0
            for tile in range(tiles):
                offset = (tile * weights.shape[1] + column) * TILE
                grad_t += time_gradient(p[tile], flat_weights, offset, factors[tile])
                if with_taus:
                    add_taus(p[tile], flat_weights, offset, grad_taus[tile])
            deliver(grad_t, source[k], events, synapses, recurrent, chain, gradients, recurrent_gradients, grad_spikes)
    for n in range(N if with_taus else 0):
        grad[n, TAU_MEM] += grad_taus[n // TILE, n % TILE]
        grad[n, TAU_SYN] += grad_taus[n // TILE, TILE + n % TILE]
