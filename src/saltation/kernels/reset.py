"""What an own spike does to V, told from the rows that are kept of the spikes (README.md, sections 2 and 3).

A spike is forced if V is above theta at the moment of its release. It comes at that instant, from the V that was held,
not from theta. Of V nothing is kept: after a crossing V - threshold = a, and a forced spike subtracts once more.
"""

from math import inf

from .jit import borrowing, kernel
from .layout import ADAPTATION, CURRENT, MARGIN, REFRACTORY, TAU_ADAPT, TAU_MEM, THRESHOLD, TIME, V_RESET


@borrowing
def is_ghost(row):
    """Whether a row is that of a spike that there is not: a maximum of V below theta."""
    return row[MARGIN] < 0.0


@borrowing
def release_of(row, neuron):
    """When V goes on after an own spike, or a ghost, which does not hold it."""
    return row[TIME] if is_ghost(row) else row[TIME] + neuron[REFRACTORY]


@borrowing
def is_forced(n, V_held, neuron, rows):
    """Whether spike n of a neuron was forced; V_held: what its V was held at before. The very test of `advance`."""
    if n == 0 or neuron[REFRACTORY] == 0.0 or is_ghost(rows[n - 1]) or is_ghost(rows[n]):
        return False
    if rows[n - 1, TIME] + neuron[REFRACTORY] != rows[n, TIME]:
        return False
    return V_held - rows[n, ADAPTATION] - neuron[THRESHOLD] > 0.0


@borrowing
def V_after(n, V_held, neuron, subtract, rows):
    """V right after spike n, or at ghost n."""
    if is_ghost(rows[n]):
        return neuron[THRESHOLD] + rows[n, ADAPTATION] + rows[n, MARGIN]
    if not subtract:
        return neuron[V_RESET]
    if is_forced(n, V_held, neuron, rows):
        return V_held - neuron[THRESHOLD]
    return rows[n, ADAPTATION]


@borrowing
def spike_slope(neuron, row):
    """d(V - theta)/dt just before a crossing: (I - V)/tau_mem + a/tau_adapt with V = threshold + a."""
    V = neuron[THRESHOLD] + row[ADAPTATION]
    return (row[CURRENT] - V) / neuron[TAU_MEM] + row[ADAPTATION] / neuron[TAU_ADAPT]


@kernel
def spike_slopes(counts, rows, neurons, slopes):
    """Fill slopes (S,): tau_mem d(V - theta)/dt / threshold at each spike, in the order of rows (S, columns).

    Small where it grazed the threshold; inf where it was forced, so that no gradient is divided by it, and for ghosts.
    counts (B, N).
    """
    row = 0
    for b in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            neuron, own, V = neurons.parameters[j], rows[row : row + counts[b, j]], 0.0
            for n in range(counts[b, j]):
                slopes[row + n] = inf
                if not (is_ghost(own[n]) or is_forced(n, V, neuron, own)):
                    slopes[row + n] = spike_slope(neuron, own[n]) * neuron[TAU_MEM] / neuron[THRESHOLD]
                V = V_after(n, V, neuron, neurons.subtract, own)
            row += counts[b, j]
