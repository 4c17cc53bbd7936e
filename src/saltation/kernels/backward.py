"""The backward pass: the saltation adjoint of one layer (README.md, section 3).

Between two own spikes the adjoint p does not depend on the arrivals, so a first pass goes over the own spikes only and
keeps p at the end of every segment; a second pass visits the arrivals in any order and needs nothing but their segment.
"""

from math import exp, pi, sqrt

import numpy as np

from .crossing import EPS
from .flow import flow, phi_gradient
from .jit import borrowing, embedded, inlined, kernel
from .layout import (
    ADAPTATION,
    CURRENT,
    JUMP,
    MARGIN,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
    V_RESET,
)
from .reset import V_after, is_forced, is_ghost, release_of, spike_slope

# Columns of the segment table. Segment n lies between own spike or ghost n - 1 (or the start) and n (or the peak);
# V_START is V right after the first. MISSED: by how much dL/dt of all that arrived before spike n falls short of dL/dt
# of the spike and of all after it, where its slope was too small and another took its place. KINK: what an arrival at
# the very time of the ghost at the start adds to its dL/dt, if the ghost moves with it.
END, P_V, P_I, P_I_RELEASE, V_START, MISSED, KINK = range(7)
NUM_SEGMENT = 7


@embedded
def start_segments(neuron, subtract, rows, segments):
    """Fill V_START of all segments of a neuron, and MISSED and KINK with zeros."""
    segments[0, V_START], segments[0, KINK] = 0.0, 0.0
    for n in range(rows.shape[0]):
        segments[n, MISSED], segments[n + 1, KINK] = 0.0, 0.0
        segments[n + 1, V_START] = V_after(n, segments[n, V_START], neuron, subtract, rows)


@embedded
def open_segment(n, end, p_V, p_I, neuron, rows, with_taus, segments, grad):
    """Write segment n, which ends at `end` with the adjoint p; adds to grad (7,) what the state at its start causes.
    Its V_START is there already.

    Returns p_V and p_I right after V is released at its start (at `end`, if V is still held there), and dL/dt of that
    release.
    """
    tau_mem, tau_syn = neuron[TAU_MEM], neuron[TAU_SYN]
    segments[n, END], segments[n, P_V], segments[n, P_I], segments[n, P_I_RELEASE] = end, p_V, p_I, p_I
    if n == 0:
        return p_V, p_I, 0.0
    V_plus = segments[n, V_START]
    release = release_of(rows[n - 1], neuron)
    if end < release:
        return p_V, p_I, 0.0
    s = end - release
    I_release = rows[n - 1, RELEASE_CURRENT]
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    if with_taus:
        phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn, e_mem, e_syn, phi_s)
        grad[TAU_MEM] += p_V * (V_plus * e_mem * s / (tau_mem * tau_mem) + I_release * phi_mem)
        grad[TAU_SYN] += I_release * (p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn))
    p_I = p_I * e_syn + p_V * phi_s
    p_V = p_V * e_mem
    segments[n, P_I_RELEASE] = p_I
    if neuron[REFRACTORY] == 0.0 or s == 0.0 or is_ghost(rows[n - 1]):
        return p_V, p_I, 0.0
    G_release = -p_V * (I_release - V_plus) / tau_mem  # V' changes there from 0 to (I - V)/tau_mem
    grad[REFRACTORY] += G_release
    return p_V, p_I, G_release


@borrowing
def cross_ghost(n, end, p_V, p_a, e_V, e_a, G, neuron, neurons, rows, segments, grad):
    """p_V and p_a just before ghost n - 1, whose G = dL/dstrength, from p_V just after it and p_a at `end`.

    A spike there would change the loss by about G + e_V dV + e_a jump, with dV what V misses while it is held, and e
    the adjoint without what ghosts add to it, at `end`: spikes that may be do not count as if they were. Noise of the
    threshold, of width sigma, lets the spike be with a density that depends on the margin, V - theta.
    """
    tau_mem, tau_adapt, threshold, row = neuron[TAU_MEM], neuron[TAU_ADAPT], neuron[THRESHOLD], rows[n - 1]
    I, a, margin, s = row[CURRENT], row[ADAPTATION], row[MARGIN], end - row[TIME]
    e_adapt = exp(-s / tau_adapt)
    grad[TAU_ADAPT] += p_a * a * e_adapt * s / (tau_adapt * tau_adapt)
    V, held = segments[n, V_START], min(neuron[REFRACTORY], s)
    e_mem, _, phi_held = flow(held, tau_mem, neuron[TAU_SYN])
    dV = (V - threshold if neurons.subtract else neuron[V_RESET]) - (V * e_mem + I * phi_held)
    sigma = neurons.smoothing * abs(threshold)
    density = exp(-0.5 * (margin / sigma) ** 2) / (sigma * sqrt(2.0 * pi))
    G_margin = density * (G + e_V * exp(-(s - held) / tau_mem) * dV + e_a * e_adapt * neuron[JUMP])
    grad[THRESHOLD] -= G_margin
    segments[n, KINK] = G_margin * ((I - V) / tau_mem + a / tau_adapt)
    return p_V + G_margin, p_a * e_adapt - G_margin


@inlined
def threshold_share(n, p_V, p_a, G, neuron, subtract, rows, segments, slope_floor):
    """c of spike n - 1 with dL/dT = G, from p just after it (README.md, section 3), and MISSED of it."""
    tau_mem, row = neuron[TAU_MEM], rows[n - 1]
    own_slope = spike_slope(neuron, row)
    slope = max(own_slope, slope_floor)
    V_slope = (row[CURRENT] - neuron[THRESHOLD] - row[ADAPTATION]) / tau_mem
    change = -V_slope if subtract else 0.0  # f+ - DR f-, its V component
    if neuron[REFRACTORY] == 0.0:
        change += (row[CURRENT] - segments[n, V_START]) / tau_mem
    c = (change * p_V - neuron[JUMP] / neuron[TAU_ADAPT] * p_a - G) / slope
    # along the flow p.f is constant; here it changes by G only if grad g . f is the slope that c is divided by
    return c, (own_slope - slope) * c


@borrowing
def cross_without_ghosts(n, end, e_V, e_a, G, neuron, subtract, rows, segments, slope_floor):
    """The adjoint (e_V, e_a) of a neuron without what ghosts add to it, from `end` to just before spike n - 1, whose
    G = dL/dT, and what passes on to the spike before, if this one was forced; to just before ghost n - 1.
    """
    row, tau_mem, tau_adapt = rows[n - 1], neuron[TAU_MEM], neuron[TAU_ADAPT]
    e_a *= exp(-(end - row[TIME]) / tau_adapt)
    release = release_of(row, neuron)
    if end >= release:
        e_V *= exp(-(end - release) / tau_mem)
    if is_ghost(row):
        return e_V, e_a, 0.0
    if neuron[REFRACTORY] > 0.0 and end > release:
        G -= e_V * (row[RELEASE_CURRENT] - segments[n, V_START]) / tau_mem
    if is_forced(n - 1, segments[n - 1, V_START], neuron, rows):
        return e_V if subtract else 0.0, e_a, G + e_a * neuron[JUMP] / tau_adapt
    c, _ = threshold_share(n, e_V, e_a, G, neuron, subtract, rows, segments, slope_floor)
    return c + e_V if subtract else c, e_a - c, 0.0


@embedded
def cross_spike(n, end, p_V, p_I, p_a, G, neuron, subtract, rows, segments, slope_floor, grad):
    """The adjoint just before spike n - 1, whose G = dL/dT, from what `open_segment` gave for the segment after it.

    p_a is that at `end`. Returns p_V, p_I, p_a and what passes on to the spike before, if this one was forced.
    """
    tau_syn, tau_adapt, jump, refractory = neuron[TAU_SYN], neuron[TAU_ADAPT], neuron[JUMP], neuron[REFRACTORY]
    T, I, a = rows[n - 1, TIME], rows[n - 1, CURRENT], rows[n - 1, ADAPTATION]
    s = refractory if end >= T + refractory else end - T
    if s > 0.0:  # through the refractory period, in which V is held, to the spike
        e_syn = exp(-s / tau_syn)
        grad[TAU_SYN] += p_I * I * e_syn * s / (tau_syn * tau_syn)
        p_I *= e_syn
    if p_a != 0.0:
        s = end - T
        e_adapt = exp(-s / tau_adapt)
        grad[TAU_ADAPT] += p_a * (a + jump) * e_adapt * s / (tau_adapt * tau_adapt)
        p_a *= e_adapt
    # the jump: S^T p - G grad_g / slope
    grad[JUMP] += p_a
    if subtract:
        grad[THRESHOLD] -= p_V
    else:
        grad[V_RESET] += p_V
    if is_forced(n - 1, segments[n - 1, V_START], neuron, rows):  # it moves with the spike before
        G_forced = G + p_a * jump / tau_adapt
        grad[REFRACTORY] += G_forced
        return p_V if subtract else 0.0, p_I, p_a, G_forced
    c, segments[n - 1, MISSED] = threshold_share(n, p_V, p_a, G, neuron, subtract, rows, segments, slope_floor)
    grad[THRESHOLD] -= c
    return c + p_V if subtract else c, p_I, p_a - c, 0.0


@borrowing
def last_end(rows, peak_time, grad_peak):
    """Where the last segment ends: at the peak, or at the last spike, as nothing depends on what follows it."""
    if grad_peak == 0.0 and rows.shape[0] > 0:
        return rows[-1, TIME]
    return peak_time


@borrowing
def times_of_spikes(rows, grad_rows):
    """The sum of dL/dT over all spikes; of ghosts, grad_rows holds something else."""
    total = 0.0
    for n in range(rows.shape[0]):
        if not is_ghost(rows[n]):
            total += grad_rows[n]
    return total


@borrowing
def peak_moves(rows, neuron, end, peak_slope, grad_peak):
    """What the peak adds to dL/dT of the last spike, if it is a kink that moves with it."""
    if rows.shape[0] > 0 and end in (rows[-1, TIME] + neuron[REFRACTORY], rows[-1, TIME]):
        return grad_peak * peak_slope
    return 0.0


@borrowing
def kink_of(rows, neuron, peak_time, peak_slope, grad_peak):
    """What the peak adds to dL/dt of an arrival at that very time, if the peak is a kink that moves with it."""
    if rows.shape[0] > 0 and peak_time <= rows[-1, TIME] + neuron[REFRACTORY]:
        return 0.0
    return grad_peak * peak_slope


@borrowing
def smallest_slope(neuron, min_slope):
    """A slope below this is not resolved by float64, or not wanted."""
    return max(min_slope, EPS * abs(neuron[THRESHOLD]) / neuron[TAU_MEM])


@borrowing
def adjoint(neuron, neurons, rows, grad_rows, peak_time, peak_slope, grad_peak, min_slope, with_taus, segments, grad):
    """First pass: fill `segments` (spikes + 1, columns) and add to grad (7,) all that does not belong to an arrival.

    rows (spikes, columns) as kept by the forward pass, grad_rows (spikes,) = dL/dT of each, of ghosts dL/dstrength.
    Returns whether the last segment carries a gradient (that of the peak). with_taus: whether dL/dtau_mem and
    dL/dtau_syn are wanted.
    """
    S, end = rows.shape[0], last_end(rows, peak_time, grad_peak)
    p_V, p_I, p_a = grad_peak, 0.0, -grad_peak
    grad[THRESHOLD] -= grad_peak
    slope_floor = smallest_slope(neuron, min_slope)
    subtract, e_V, e_a, e_more = neurons.subtract, 0.0, 0.0, 0.0
    start_segments(neuron, subtract, rows, segments)
    G_more = peak_moves(rows, neuron, end, peak_slope, grad_peak)
    p_V, p_I, G_release = open_segment(S, end, p_V, p_I, neuron, rows, with_taus, segments, grad)
    for n in range(S, 0, -1):
        G = grad_rows[n - 1]
        if is_ghost(rows[n - 1]):
            p_V, p_a = cross_ghost(n, end, p_V, p_a, e_V, e_a, G, neuron, neurons, rows, segments, grad)
            G_more = 0.0
        else:
            p_V, p_I, p_a, G_more = cross_spike(
                n, end, p_V, p_I, p_a, G + G_more + G_release, neuron, subtract, rows, segments, slope_floor, grad
            )
        if neurons.smoothing > 0.0:
            e_V, e_a, e_more = cross_without_ghosts(
                n, end, e_V, e_a, G + e_more, neuron, subtract, rows, segments, slope_floor
            )
        end = rows[n - 1, TIME]
        p_V, p_I, G_release = open_segment(n - 1, end, p_V, p_I, neuron, rows, with_taus, segments, grad)
    return grad_peak != 0.0


@borrowing
def arrival_gradient(t, w, neuron, rows, segments, last_counts, with_taus, grad):
    """Second pass, one arrival of weight w at time t: returns (dL/dw, dL/dt).

    Adds its share of dL/dtau to grad if with_taus.
    """
    tau_mem, tau_syn = neuron[TAU_MEM], neuron[TAU_SYN]
    n, above = 0, rows.shape[0]
    while n < above:  # the number of spikes up to t
        middle = (n + above) // 2
        if rows[middle, TIME] <= t:
            n = middle + 1
        else:
            above = middle
    kink = 0.0
    if n > 0 and rows[n - 1, TIME] == t and w != 0.0:
        kink, segments[n, KINK] = segments[n, KINK], 0.0  # of equal arrivals one moves the ghost
    if n == rows.shape[0] and (not last_counts or t >= segments[n, END]):
        return 0.0, kink
    release = release_of(rows[n - 1], neuron) if n > 0 else 0.0
    if t >= release:
        s = segments[n, END] - t
        e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
        p_V, p_I = segments[n, P_V], segments[n, P_I]
        if with_taus:
            phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn, e_mem, e_syn, phi_s)
            grad[TAU_MEM] += w * p_V * phi_mem
            grad[TAU_SYN] += w * (p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn))
        p_I = p_I * e_syn + p_V * phi_s
        p_V = p_V * e_mem
        return p_I, w * (p_I / tau_syn - p_V / tau_mem) + kink
    if segments[n, END] < release:
        return 0.0, 0.0  # the segment ends, with the peak, while V is held
    s = release - t
    p_I = segments[n, P_I_RELEASE] * exp(-s / tau_syn)
    grad[TAU_SYN] += w * p_I * s / (tau_syn * tau_syn)
    return p_I, w * p_I / tau_syn


@borrowing
def strengths_at(delay, ghosts, b, weight, duration, neuron, rows, segments, last_counts, grad, strengths):
    """Add dL/dstrength through neuron n to the ghosts of sample b: weight times p_I at their arrivals.

    weight (M,), delay (M,) or (1,) of its synapses.
    """
    stride = 1 if delay.size > 1 else 0
    for k in range(ghosts.offsets[b], ghosts.offsets[b + 1]):
        i = ghosts.units[k]
        t = ghosts.times[k] + delay[i * stride]
        if t < duration:
            p_I, _ = arrival_gradient(t, 0.0, neuron, rows, segments, last_counts, False, grad)
            strengths[k] += weight[i] * p_I


@kernel
def new_segments(buffer, first, last):
    """Room for the segments of any neuron in the samples first..last - 1."""
    longest = 0
    for b in range(first, last):
        longest = max(longest, buffer.counts[b].max())
    return np.empty((longest + 1, NUM_SEGMENT))


@kernel
def own_rows(row, spikes, buffer, grad_rows):
    """What is kept of a neuron's `spikes` spikes, the first in row `row`, and their dL/dT."""
    return buffer.rows[row : row + spikes], grad_rows[row : row + spikes]


@borrowing
def peak_of(b, j, peaks, grad_peak):
    """dL/dpeak of a neuron, and the time and slope of its peak; zeros where nobody asked for peaks."""
    if grad_peak.size == 0:
        return 0.0, 0.0, 0.0
    return grad_peak[b, j], peaks.time[b, j], peaks.slope[b, j]
