"""The backward pass with synaptic delays, bin by bin: the counterpart of binned.py (README.md, sections 3 and 4).

Between own spikes the adjoint does not depend on the arrivals: with p = (p_V, p_I) at the end of a bin, an arrival a
time r before it has  p_I(r) = alpha e^{-r/tau_syn} - beta e^{-r/tau_mem},  p_V(r) = (beta/unit) e^{-r/tau_mem}  with
beta = unit p_V, alpha = p_I + beta. The sums of both terms over the spikes of an input give the gradients of its weight
and its delay. Bins in which a segment begins or ends are done arrival by arrival.
"""

from math import nan

import numpy as np

from .arrivals import longest_sample
from .backward import END, P_I, P_I_RELEASE, P_V, adjoint, arrival_gradient, new_segments, own_rows, strengths_at
from .bin_loops import ALPHA, BETA, NUM_ADJOINT, use_events
from .bins import D_MEM, D_OFFSET, D_SYN, group_by_source, new_sources
from .flow import flow
from .jit import borrowing, kernel
from .layout import TIME
from .reset import release_of


@kernel
def mark_edge(time, grid, table):
    """A segment begins or ends at `time`: its bin is done arrival by arrival, and the next one if rounding decides."""
    near = 1e-9 * grid.h
    first, last = int(max(time - near, 0.0) / grid.h), int((time + near) / grid.h)
    for c in range(first, min(last + 1, grid.number)):
        table[c * NUM_ADJOINT + ALPHA] = nan


@kernel
def fill_stretch(begin, end, p_V, p_I, grid, steps, table):
    """The adjoint that is (p_V, p_I) at `end`, at the ends of all bins that lie within [begin, end]."""
    e_mem, e_syn, phi_h = steps
    c = int(end / grid.h) - 1
    s = end - (c + 1) * grid.h
    if s < 0.0:  # rounding
        c -= 1
        s = end - (c + 1) * grid.h
    s_mem, s_syn, phi_s = flow(s, grid.tau_mem, grid.tau_syn)
    p_V, p_I = p_V * s_mem, p_I * s_syn + p_V * phi_s
    while c >= 0 and c * grid.h >= begin:
        table[c * NUM_ADJOINT + ALPHA] = p_I + grid.unit * p_V
        table[c * NUM_ADJOINT + BETA] = grid.unit * p_V
        p_V, p_I = p_V * e_mem, p_I * e_syn + p_V * phi_h
        c -= 1


@kernel
def fill_table(rows, segments, neuron, grid, steps, table):
    """The table of one neuron from its segments: the adjoint at the ends of bins, alpha is nan in those in which a
    segment begins or ends; flat, of more bins than there are.
    """
    for k in range(grid.number * NUM_ADJOINT):
        table[k] = 0.0
    for n in range(rows.shape[0]):
        begin = rows[n - 1, TIME] if n > 0 else 0.0
        release = release_of(rows[n - 1], neuron) if n > 0 else 0.0
        fill_stretch(release, segments[n, END], segments[n, P_V], segments[n, P_I], grid, steps, table)
        if release > begin:
            fill_stretch(begin, release, 0.0, segments[n, P_I_RELEASE], grid, steps, table)
            mark_edge(release, grid, table)
        mark_edge(segments[n, END], grid, table)


@borrowing
def credit_arrival(j, i, k, events, synapses, neurons, rows, segments, gradients):
    """dL/dw and dL/ddelay of input spike k, of input i, at neuron j, from its own segment; adds dL/dt."""
    t = events.times[k] + synapses.delay[j, i]
    if t >= neurons.duration:
        return 0.0, 0.0
    grad_w, grad_t = arrival_gradient(
        t, synapses.weight[j, i], neurons.parameters[j], rows, segments, False, False, gradients.parameters[j]
    )
    gradients.times[k] += grad_t
    return grad_w, grad_t


@borrowing
def credit_inputs(
    j, events, synapses, grid, delays, sources, neurons, rows, segments, table, want_times, gradients
):  # fmt: skip
    """Add the gradients of all arrivals at neuron j, whose segments and table of adjoints are these."""
    tau_mem, tau_syn, keep, total = grid.tau_mem, grid.tau_syn, grid.keep, sources.total
    event, bins, factor, times = sources.event, sources.bin, sources.table, gradients.times
    for i in range(synapses.weight.shape[1]):
        p, stop, w, extra_w, extra_t = sources.start[i], sources.start[i + 1], synapses.weight[j, i], 0.0, 0.0
        shift, limit = delays.bin[j, i], grid.h - delays.table[j, i, D_OFFSET]
        f_mem, f_syn, by_mem, by_syn = delays.table[j, i, D_MEM], delays.table[j, i, D_SYN], 0.0, 0.0
        moves = -w * f_mem / tau_mem, w * f_syn / tau_syn
        while p < stop:
            if want_times:  # a literal
                p = use_events(p, stop, shift, limit, moves, keep, bins, factor, table, total, event, times, True)
            else:
                p = use_events(p, stop, shift, limit, moves, keep, bins, factor, table, total, event, times, False)
            by_mem += total[BETA]
            by_syn += total[ALPHA]
            if p < stop:  # in a bin with an edge
                grad_w, grad_t = credit_arrival(j, i, event[p], events, synapses, neurons, rows, segments, gradients)
                extra_w += grad_w
                extra_t += grad_t
                p += 1
        by_mem, by_syn = by_mem * f_mem, by_syn * f_syn
        gradients.weight[j, i] += by_syn - by_mem + extra_w
        gradients.delay[j, i] += w * (by_syn / tau_syn - by_mem / tau_mem) + extra_t


@kernel
def binned_backward(events, ghosts, synapses, grid, delays, neurons, span, buffer, sent, gradients):
    """As neuron_major_backward.neuron_major_backward for what binned_forward can do, without gradients of the taus."""
    N, M = synapses.weight.shape
    sources = new_sources(longest_sample(events, span.first, span.last), M)
    segments = new_segments(buffer, span.first, span.last)
    table = np.zeros((2 * grid.number + 4) * NUM_ADJOINT)  # beyond the end of the sample nothing counts
    steps = flow(grid.h, grid.tau_mem, grid.tau_syn)
    row = span.row
    for b in range(span.first, span.last):
        group_by_source(events, b, grid, sources)
        for j in range(N):
            spikes = buffer.counts[b, j]
            rows, g_rows = own_rows(row, spikes, buffer, sent.grad_rows)
            row += spikes
            if spikes == 0:
                continue
            neuron = neurons.parameters[j]
            adjoint(
                neuron, neurons, rows, g_rows, 0.0, 0.0, 0.0, sent.min_slope, False,
                segments, gradients.parameters[j],
            )  # fmt: skip
            fill_table(rows, segments, neuron, grid, steps, table)
            strengths_at(
                synapses.delay[j], ghosts, b, synapses.weight[j], neurons.duration, neuron, rows, segments, False,
                gradients.parameters[j], gradients.strengths,
            )  # fmt: skip
            credit_inputs(
                j, events, synapses, grid, delays, sources, neurons, rows, segments, table, sent.want_times, gradients,
            )  # fmt: skip
