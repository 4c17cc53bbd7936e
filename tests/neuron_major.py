"""The neuron-major kernels for all-to-all layers of LIF neurons, called as the event-major ones are."""

import numpy as np

from saltation.kernels import plans
from saltation.kernels.layout import Gradients, Sent, Span, Synapses


def plan_of(events, synapses, neurons):
    """The plan, with its synapses prepared."""
    return plans.NeuronMajor(plans.Task(events, synapses, None, None, None, neurons, False, True))


def lif_forward(events, synapses, neurons, *rest):
    """(status, cursor, filled); rest: cursor, last, buffer, filled, peaks, budget."""
    return plan_of(events, synapses, neurons).forward(*rest)


def lif_backward(
    events, synapses, neurons, first, last, buffer, row, grad_rows, peaks, grad_peak, min_slope, with_taus, gradients
):
    """Adds to `gradients`, in the shapes of `synapses`."""
    plan = plan_of(events, synapses, neurons)
    weight, delay = (np.zeros_like(array) for array in plan.shapes()[0])
    sent = Sent(grad_rows, peaks, grad_peak, min_slope, True, with_taus)
    mine = Gradients(gradients.times, weight, delay, gradients.parameters)
    nothing = Synapses(np.empty(0), np.empty(0))
    plan.backward(Span(first, last, row), buffer, np.arange(grad_rows.size), sent, mine, nothing)
    found, _ = plan.restore(Synapses(weight, delay), nothing)
    gradients.weight[:] += found.weight
    gradients.delay[:] += found.delay
