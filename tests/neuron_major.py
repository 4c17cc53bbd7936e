"""The neuron-major kernels for all-to-all layers of LIF neurons, called as those of other orders of work are."""

import numpy as np

from saltation.kernels import plans
from saltation.kernels.layout import Events, Gradients, Synapses


def no_ghosts(events):
    """As many samples without any."""
    return Events(np.empty(0), np.empty(0, np.int64), np.zeros_like(events.offsets))


def plan_of(events, synapses, recurrent, neurons):
    """The plan, with its synapses prepared."""
    task = plans.Task(events, no_ghosts(events), synapses, recurrent, None, None, neurons, False, True)
    return plans.NeuronMajor(task)


def lif_forward(events, synapses, neurons, *rest):
    """(status, cursor, filled); rest: cursor, last, buffer, filled, peaks, budget."""
    return plan_of(events, synapses, None, neurons).forward(*rest)


def recurrent_forward(events, synapses, recurrent, neurons, *rest):
    """As lif_forward, with recurrent connections."""
    return plan_of(events, synapses, recurrent, neurons).forward(*rest)


def lif_backward(events, synapses, neurons, span, buffer, sent, gradients):
    """Adds to `gradients`, in the shapes of `synapses`."""
    order = np.arange(sent.grad_rows.size)
    _add(plan_of(events, synapses, None, neurons), span, buffer, order, sent, gradients, None)


def recurrent_backward(events, synapses, recurrent, neurons, span, buffer, order, sent, gradients, of_recurrent):
    """As lif_backward, with recurrent connections."""
    _add(plan_of(events, synapses, recurrent, neurons), span, buffer, order, sent, gradients, of_recurrent)


def _add(plan, span, buffer, order, sent, gradients, of_recurrent):
    inputs, own = (Synapses(*map(np.zeros_like, part)) for part in plan.shapes())
    found = Gradients(gradients.times, *inputs, gradients.parameters, np.empty(0))
    plan.backward(span, buffer, order, sent, found, own)
    found, found_own = plan.restore(inputs, own)
    pairs = [(gradients.weight, found.weight), (gradients.delay, found.delay)]
    for total, part in pairs if of_recurrent is None else [*pairs, *zip(of_recurrent, found_own, strict=True)]:
        total[:] += part
