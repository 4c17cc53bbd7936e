"""The innermost loops of a network on a time grid, forwards and backwards; equations and symbols in README.md.

All kernels are in one file: Numba's cache on disk sees edits in that file only. Whatever is called `course` is an array
(G samples, T + 1 slots, N neurons) that holds one thing after the other, so that it is read and written as rarely as
possible: the input of every step, then V - theta, then the gradient of the loss with respect to the input. Slot T takes
what arrives too late; nothing reads it. Loops over neurons are innermost and contiguous: they vectorise.
"""

from functools import partial

import numba
import numpy as np

# no "nnan" and "ninf", so that comparisons stay what they are
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
kernel = partial(numba.njit, nogil=True, cache=True, error_model="numpy", fastmath=FASTMATH)

HELD = -1e9  # V - theta of a neuron in its refractory period: so far from threshold that the surrogate vanishes

# Places in `dynamics` (6,): e^{-dt/tau_mem}, phi(dt), e^{-dt/tau_syn}, e^{-dt/tau_adapt}; what a reset keeps of V, 0 or
# 1; the slope of the surrogate 1 / (1 + slope |V - theta|)^2.
E_MEM, PHI, E_SYN, E_ADAPT, KEEP, SLOPE = range(6)
# Rows of `neurons` (3, N): a reset adds RESET to what it keeps of V.
THRESHOLD, JUMP, RESET = range(3)


@kernel()
def arrive(x, delay, real):
    """The slot in which an event at x arrives, and the share of it that the next one gets, of the type `real`."""
    y = x + delay
    k = int(y)
    return k, real(y - k)


@kernel()
def deposit(course, b, x, row, weights, delays):
    """Share an event of sample b at time x (in steps) out between the two steps around its arrival, linearly.

    weights (M, N), a row for each source; delays in steps: (M,), or (M, N) if every synapse has its own.
    """
    real = course.dtype.type
    last, N = course.shape[1] - 1, course.shape[2]
    if delays.ndim == 1:
        k, late = arrive(x, delays[row], real)
        if k < last:
            early = real(1.0) - late
            if late > real(0.0):
                for n in range(N):
                    course[b, k, n] += early * weights[row, n]
                    course[b, k + 1, n] += late * weights[row, n]
            else:
                for n in range(N):
                    course[b, k, n] += weights[row, n]
    else:
        for n in range(N):
            k, late = arrive(x, delays[row, n], real)
            if k < last:
                course[b, k, n] += (real(1.0) - late) * weights[row, n]
                course[b, k + 1, n] += late * weights[row, n]


@kernel()
def gather(course, b, x, row, delays, d_weights, d_shift):
    """The reverse of `deposit`."""
    real = course.dtype.type
    last, N = course.shape[1] - 1, course.shape[2]
    if delays.ndim == 1:
        k, late = arrive(x, delays[row], real)
        if k < last:
            early = real(1.0) - late
            for n in range(N):
                g, h = course[b, k, n], course[b, k + 1, n]
                d_weights[row, n] += early * g + late * h
                if d_shift is not None:
                    d_shift[row, n] += h - g
    else:
        for n in range(N):
            k, late = arrive(x, delays[row, n], real)
            if k < last:
                g, h = course[b, k, n], course[b, k + 1, n]
                d_weights[row, n] += (real(1.0) - late) * g + late * h
                if d_shift is not None:
                    d_shift[row, n] += h - g


@kernel()
def deposit_all(course, offsets, times, rows, kept, copies, stride, weights, delays):
    """All events of the samples: offsets (G + 1,), times (E,) in steps, rows (E,), kept (E,) bool or None: which count.

    Each event is one of `copies` rows, `stride` apart.
    """
    for b in range(course.shape[0]):
        for q in range(copies):  # outside, so that the rows of a copy stay in the cache
            for e in range(offsets[b], offsets[b + 1]):
                if kept is None or kept[e]:
                    deposit(course, b, times[e], rows[e] + q * stride, weights, delays)


@kernel()
def gather_all(course, offsets, times, rows, kept, copies, stride, delays, d_weights, d_shift):
    """The reverse of `deposit_all`: adds the gradient of the weights to d_weights (M, N) and, unless it is None,
    that of arrival times in steps, over the weight, to d_shift (M, N).
    """
    for b in range(course.shape[0]):
        for q in range(copies):
            for e in range(offsets[b], offsets[b + 1]):
                if kept is None or kept[e]:
                    gather(course, b, times[e], rows[e] + q * stride, delays, d_weights, d_shift)


@kernel()
def simulate(course, dynamics, neurons, hold, recurrent_weights, recurrent_delays, codes, counts):
    """Steps 1 ... T of G samples side by side. `course` holds the input of slots 0 ... T - 1; afterwards V - theta of
    step t in slot t - 1.

    hold: refractory period in steps, or None for 0; recurrent_*: as in `deposit`, or None. codes (G, T N): t N + n for
    every spike in the order of time, counts (G,): how many.
    """
    real = course.dtype.type
    zero, one, held_value = real(0.0), real(1.0), real(HELD)
    G, slots, N = course.shape
    e_mem, phi, e_syn = dynamics[E_MEM], dynamics[PHI], dynamics[E_SYN]
    e_adapt, keep = dynamics[E_ADAPT], dynamics[KEEP]
    threshold, jump, reset = neurons[THRESHOLD], neurons[JUMP], neurons[RESET]
    V, I, a = np.zeros((G, N), course.dtype), np.zeros((G, N), course.dtype), np.zeros((G, N), course.dtype)
    left = np.zeros((G, N), course.dtype)
    counts[:] = 0
    for t in range(1, slots):
        for b in range(G):
            for n in range(N):
                current = e_syn * I[b, n] + course[b, t - 1, n]
                I[b, n] = current
                v = e_mem * V[b, n] + phi * current
                adaptation = e_adapt * a[b, n]
                x = v - threshold[n] - adaptation
                if hold is not None:
                    free = left[b, n] <= zero
                    v = v if free else V[b, n]
                    x = x if free else held_value
                    left[b, n] = hold if x >= zero else left[b, n] - one
                course[b, t - 1, n] = x
                V[b, n] = keep * v + reset[n] if x >= zero else v
                a[b, n] = adaptation + jump[n] if x >= zero else adaptation
            for n in range(N):
                if course[b, t - 1, n] >= zero:
                    codes[b, counts[b]] = t * N + n
                    counts[b] += 1
                    if recurrent_weights is not None:
                        deposit(course, b, float(t), n, recurrent_weights, recurrent_delays)


@kernel()
def list_spikes(codes, counts, N, offsets, flat, times, units):
    """From the codes (G, T N) of `simulate` to those of all samples one after the other, and their steps and units."""
    e = 0
    for b in range(len(counts)):
        for j in range(counts[b]):
            code = codes[b, j]
            flat[e], times[e], units[e] = code, code // N, code % N
            e += 1
        offsets[b + 1] = e


@kernel()
def unroll(course, dynamics, neurons, refractory, spikes, sent, dense, counted, axonal, synaptic, d_neurons):
    """Backwards through steps T ... 1: `course` holds V - theta; afterwards the gradient with respect to the input of
    slot t - 1 in that slot.

    refractory: whether there are held neurons, or None; spikes, sent, dense, counted: see `gradient_of_outputs`;
    axonal, synaptic: recurrent connections, see `fed_back` and `fed_back_synapses`, or None.
    d_neurons (3, N): the gradient of `neurons` is added to it.
    """
    real = course.dtype.type
    zero, one, held = real(0.0), real(1.0), real(0.5 * HELD)
    G, slots, N = course.shape
    e_mem, phi, e_syn = dynamics[E_MEM], dynamics[PHI], dynamics[E_SYN]
    e_adapt, keep, slope = dynamics[E_ADAPT], dynamics[KEEP], dynamics[SLOPE]
    jump = neurons[JUMP]
    p_V, p_I, p_a = np.zeros((G, N), course.dtype), np.zeros((G, N), course.dtype), np.zeros((G, N), course.dtype)
    p_S, d_threshold = np.zeros(N, course.dtype), np.zeros(N, course.dtype)
    felt = np.zeros((N, G), course.dtype)
    cursor = spikes[0][1:].copy()
    course[:, slots - 1] = zero
    for t in range(slots - 1, 0, -1):
        if axonal is not None:
            fed_back(felt, t, axonal)
        for b in range(G):
            gradient_of_outputs(p_S, b, t, cursor, spikes, sent, dense, counted, p_V, p_a, d_neurons)
            if axonal is not None:
                for n in range(N):
                    p_S[n] += felt[n, b]
            if synaptic is not None:
                fed_back_synapses(p_S, course, b, t, synaptic)
            for n in range(N):
                x = course[b, t - 1, n]
                after_V, after_a = p_V[b, n], p_a[b, n]
                s = p_S[n] + jump[n] * after_a
                z = one + slope * abs(x)
                p_x = s / (z * z)
                d_threshold[n] -= p_x
                p_a[b, n] = e_adapt * (after_a - p_x)
                v = (keep * after_V if x >= zero else after_V) + p_x
                if refractory is not None:
                    p_V[b, n] = v if x < held else e_mem * v
                    v = zero if x < held else v
                else:
                    p_V[b, n] = e_mem * v
                p = e_syn * p_I[b, n] + phi * v
                p_I[b, n] = p
                course[b, t - 1, n] = p
        if axonal is not None:
            np.dot(axonal[0], p_I.T, axonal[3][t - 1])
    for n in range(N):
        d_neurons[THRESHOLD, n] += d_threshold[n]


@kernel()
def gradient_of_outputs(p_S, b, t, cursor, spikes, sent, dense, counted, p_V, p_a, d_neurons):
    """p_S (N,): of the outputs of sample b at step t, whether or not a neuron spiked, as far as they are sent on.

    spikes: offsets (G + 1,), codes (E,) of all spikes; kept (E,), whether they go on; the share of those. cursor (G,):
    the first spike later than step t, afterwards than t - 1. If it goes on, the output of neuron n has the gradient
    sent[0][t] sent[1][b, n] + dense[b, t - 1, n], and besides that of a penalty on counts, counted[0][t] counted[1][n];
    dense and counted may be None.
    """
    N, (offsets, codes, kept, share) = len(p_S), spikes
    w = sent[0][t] * share
    for n in range(N):
        p_S[n] = w * sent[1][b, n]
    if dense is not None:
        for n in range(N):
            p_S[n] += share * dense[b, t - 1, n]
    e = cursor[b] - 1
    while e >= offsets[b] and codes[e] >= t * N:  # the spikes at step t
        n = codes[e] - t * N
        d_neurons[JUMP, n] += p_a[b, n]
        d_neurons[RESET, n] += p_V[b, n]
        p_S[n] *= kept[e] / share  # what did not spike counts by the share, what did by whether it goes on
        e -= 1
    cursor[b] = e + 1
    if counted is not None:
        for n in range(N):
            p_S[n] += counted[0][t] * counted[1][n]


@kernel()
def fed_back(felt, t, axonal):
    """felt (N, G): what spikes at step t of a recurrent layer do in slots t and later.

    axonal: weights (N, N); delays, as whole steps (N,) and the rest (N,); weighed (T + 2 + longest delay, N, G): the
    gradient with respect to the input of the slots that are known, as each source sees it, else 0. The samples are
    innermost, so that what is read at one delay lies together.
    """
    _, whole, late, weighed = axonal
    one = late.dtype.type(1.0)
    for n in range(felt.shape[0]):
        k, f = t + whole[n], late[n]
        for b in range(felt.shape[1]):
            felt[n, b] = (one - f) * weighed[k, n, b] + f * weighed[k + 1, n, b]


@kernel()
def fed_back_synapses(p_S, course, b, t, synaptic):
    """As `fed_back`; synaptic: weights (N, N) and delays (N, N) in steps."""
    weights, delays = synaptic
    real = p_S.dtype.type
    last = course.shape[1] - 1
    for n in range(len(p_S)):
        total = real(0.0)
        for m in range(len(p_S)):
            k, late = arrive(t, delays[n, m], real)
            if k < last:
                total += weights[n, m] * ((real(1.0) - late) * course[b, k, m] + late * course[b, k + 1, m])
        p_S[n] += total


@kernel()
def send_back(weighed, delays, rows, copies, stride, dense):
    """From `weighed` (G, T + 1, M), the gradient of every slot as each source sees it, to what a spike of neuron n of
    the layer before does at step t: added to dense[b, t - 1, n]. rows (n,): of the neurons; delays (M,) in steps.
    """
    real = dense.dtype.type
    last = weighed.shape[1] - 1
    for b in range(dense.shape[0]):
        for q in range(copies):
            for t in range(1, last):
                for n in range(len(rows)):
                    row = rows[n] + q * stride
                    k, late = arrive(t, delays[row], real)
                    if k < last:
                        dense[b, t - 1, n] += (real(1.0) - late) * weighed[b, k, row] + late * weighed[b, k + 1, row]


@kernel()
def send_back_synapses(course, weights, delays, rows, copies, stride, dense):
    """As `send_back`, for delays (M, N) of every synapse, from the gradient of the input of every slot itself."""
    real = dense.dtype.type
    G, slots, N = course.shape
    turned = np.empty((N, slots), course.dtype)
    total = np.empty(slots, course.dtype)
    for b in range(G):
        for t in range(slots):
            for m in range(N):
                turned[m, t] = course[b, t, m]
        for n in range(len(rows)):
            total[:] = real(0.0)
            for q in range(copies):
                row = rows[n] + q * stride
                for m in range(N):
                    k, late = arrive(0.0, delays[row, m], real)
                    late *= weights[row, m]
                    early = weights[row, m] - late
                    for t in range(1, slots - 1 - k):
                        total[t] += early * turned[m, t + k] + late * turned[m, t + k + 1]
            for t in range(1, slots - 1):
                dense[b, t - 1, n] += total[t]


@kernel()
def spike_features(offsets, steps, units, kept, window, features):
    """features[b, n] = sum of window[t] over the spikes of neuron n in sample b."""
    for b in range(len(offsets) - 1):
        for e in range(offsets[b], offsets[b + 1]):
            if kept is None or kept[e]:
                features[b, units[e]] += window[int(steps[e])]


@kernel()
def integrate(course, dynamics, highest, step):
    """Leaky integrators: the largest V, at least 0, of samples and neurons (G, N), and its step, or 0."""
    G, slots, N = course.shape
    V, I = np.zeros(N, course.dtype), np.zeros(N, course.dtype)
    for b in range(G):
        V[:], I[:] = course.dtype.type(0.0), course.dtype.type(0.0)
        for t in range(1, slots):
            for n in range(N):
                I[n] = dynamics[E_SYN] * I[n] + course[b, t - 1, n]
                V[n] = dynamics[E_MEM] * V[n] + dynamics[PHI] * I[n]
                if V[n] > highest[b, n]:
                    highest[b, n], step[b, n] = V[n], t


@kernel()
def first_spikes(offsets, steps, units, end, first, second):
    """Steps (G, N) of the first and the second spike, `end` where there is none."""
    first[:], second[:] = end, end
    for b in range(len(offsets) - 1):
        for e in range(offsets[b], offsets[b + 1]):
            n = units[e]
            if first[b, n] == end:
                first[b, n] = steps[e]
            elif second[b, n] == end:
                second[b, n] = steps[e]


@kernel()
def spread_first(first, second, gradient, dense):
    """From the gradient of first spike times to that of the output at every step: the first spike time is
    sum_t t S_t prod_(u < t) (1 - S_u), linear in every S_t. A spike at t before it would make t the first one; without
    it the second one would be.
    """
    real = dense.dtype.type
    for b in range(dense.shape[0]):
        for t in range(1, dense.shape[1]):
            for n in range(dense.shape[2]):
                if t < first[b, n]:
                    dense[b, t - 1, n] += real(gradient[b, n] * (t - first[b, n]))
                elif t == first[b, n]:
                    dense[b, t - 1, n] += real(gradient[b, n] * (first[b, n] - second[b, n]))
