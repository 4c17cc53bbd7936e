"""The LIF neuron as a model (models.py): its state, and what others call `advance`, `backward` and `chain` for."""

from math import exp

from . import models
from .advance import Neuron, State, no_ghost
from .advance import advance as advance_far
from .backward import arrival_gradient as gradient_of_arrival
from .chain import C_KINK, C_PEAK_TIME, Chain, begin_neuron, follow_chain, new_chain, place_rows, rows_of, segments_of
from .crossing import cannot_cross, largest_phi, watched
from .flow import flow
from .jit import borrowing, embedded, implements, kernel
from .layout import DONE, TAU_ADAPT, TAU_MEM, TAU_SYN, THRESHOLD, Neurons
from .reset import spike_slopes


@implements(models.single, Neurons)
@borrowing
def single(population, n, want_peak):
    """See models.py."""
    p = population.parameters
    neuron = p[n, 0], p[n, 1], p[n, 2], p[n, 3], p[n, 4], p[n, 5], p[n, 6]
    return Neuron(
        neuron, largest_phi(p[n, TAU_MEM], p[n, TAU_SYN]), population.subtract, population.spiking, want_peak,
        population.smoothing, population.duration,
    )  # fmt: skip


@implements(models.start, Neuron)
@borrowing
def start(neuron):
    """See models.py."""
    return State(0.0, 0.0, 0.0, 0.0, -neuron.parameters[THRESHOLD], 0.0, 0.0, no_ghost())


@implements(models.receive, State)
@embedded
def receive(x, w, neuron):
    """See models.py."""
    return State(x.V, x.I + w, x.a, x.release, x.peak, x.peak_time, x.peak_slope, x.ghost)


@implements(models.advance, State)
@embedded
def advance(x, t, t_next, neuron, rows, tally, until_spike):
    """See models.py; in most intervals nothing happens."""
    p = neuron.parameters
    s, level = t_next - t, watched(p[THRESHOLD], x.peak, neuron.spiking, neuron.want_peak, neuron.smoothing)
    if t >= x.release and cannot_cross(s, x.V, x.I, x.a, p[TAU_MEM], p[TAU_ADAPT], neuron.phi_max, level):
        e_mem, e_syn, phi_s = flow(s, p[TAU_MEM], p[TAU_SYN])
        a = x.a * exp(-s / p[TAU_ADAPT]) if x.a != 0.0 else 0.0
        V, I = x.V * e_mem + x.I * phi_s, x.I * e_syn
        return DONE, State(V, I, a, x.release, x.peak, x.peak_time, x.peak_slope, x.ghost), tally
    return advance_far(x, t, t_next, neuron, rows, tally, until_spike)


@implements(models.store, State)
@borrowing
def store(x, row):
    """See models.py. Ghosts are not looked for in windows."""
    row[0], row[1], row[2], row[3] = x.V, x.I, x.a, x.release
    row[4], row[5], row[6] = x.peak, x.peak_time, x.peak_slope


@implements(models.restore, Neuron)
@borrowing
def restore(neuron, row):
    """See models.py."""
    return State(row[0], row[1], row[2], row[3], row[4], row[5], row[6], no_ghost())


@implements(models.peak, State)
@borrowing
def peak(x):
    """See models.py."""
    return x.peak, x.peak_time, x.peak_slope


@implements(models.fill_slopes, Neurons)
@kernel
def fill_slopes(population, counts, rows, slopes):
    """See models.py."""
    spike_slopes(counts, rows, population, slopes)


@implements(models.new_chain, Neurons)
@kernel
def chain_of(population, most, arrivals):
    """See models.py."""
    return new_chain(population.parameters.shape[0], most)


@implements(models.open_group, Chain)
@borrowing
def open_group(chain, first, last, b, row, buffer):
    """See models.py."""
    place_rows(first, last, b, row, buffer, chain)


@implements(models.lacks_arrivals, Neurons)
@borrowing
def lacks_arrivals(population):
    """See models.py: p between own spikes does not depend on them."""
    return False


@implements(models.open_neuron, Chain)
@borrowing
def open_neuron(chain, n, b, count, arrival, weight, population, buffer, sent, gradients):
    """See models.py."""
    if chain.left[n] == 0 and (sent.grad_peak.size == 0 or sent.grad_peak[b, n] == 0.0):
        chain.last_counts[n], chain.carried[n, C_KINK] = False, 0.0
        return False
    begin_neuron(
        n, b, population, buffer, sent.peaks, sent.grad_peak, sent.with_taus, gradients.parameters, chain
    )  # fmt: skip
    return True


@implements(models.cross, Chain)
@borrowing
def cross(chain, j, G, population, buffer, sent, gradients):
    """See models.py."""
    follow_chain(j, G, population, buffer, sent.min_slope, sent.with_taus, gradients.parameters, chain)


@implements(models.arrival_gradient, Chain)
@borrowing
def arrival_gradient(chain, n, t, w, population, buffer, sent, gradients):
    """See models.py."""
    grad_w, grad_t = gradient_of_arrival(
        t, w, population.parameters[n], rows_of(n, chain, buffer), segments_of(n, chain), chain.last_counts[n],
        sent.with_taus, gradients.parameters[n],
    )  # fmt: skip
    c = chain.carried[n]
    if c[C_KINK] != 0.0 and t == c[C_PEAK_TIME]:
        grad_t += c[C_KINK]
        c[C_KINK] = 0.0  # of equal arrivals one moves the peak
    return grad_w, grad_t


@implements(models.close_neuron, Chain)
@borrowing
def close_neuron(chain, n, population, gradients):
    """See models.py."""
