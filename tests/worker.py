"""What the tests of `ops` and `blocks` also run in other processes, which must be able to import it by name."""

import torch
from problems import random_layer, random_spikes

import saltation as sal
from saltation import blocks

blocks.SYNAPTIC_EVENTS_PER_BLOCK = 1  # small problems, several blocks


def same(left, right):
    """Whether both hold the same tensors, bit for bit."""
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(delay="synaptic"):
    """A layer of neurons that all differ, and one of shared time constants: neuron-major and event-major kernels."""
    draw = generator(1)
    second = random_layer(draw, 6, 3, scale=0.5, tau=(2.0, 1.0), train=("threshold", "jump"))
    second.neuron.tau_adapt.fill_(2.0)
    return sal.Sequential(random_layer(draw, 4, 6, delay), second)


def batch(samples=37):
    return random_spikes(generator(2), samples=samples)


def everything(model, spikes):
    """Output, peaks, readout and all gradients, as one list of tensors."""
    spikes = spikes.with_times(spikes.times.detach().clone().requires_grad_())
    results = model.run(spikes, peak=True)
    last = results[-1]
    readout = sal.Layer(sal.Linear(3, 2, generator=generator(3)), sal.LI(2, 2.0, 1.0, train=("tau_mem",)))
    values = readout(last.spikes)
    parameters = [spikes.times, *model.parameters(), *readout.parameters()]
    loss = torch.sin(last.spikes.times).sum() + sum(r.peak.square().sum() for r in results)
    loss = loss + values.integral().square().sum() + values.maximum().sum() + values.weighted(2.0).sum()
    gradients = torch.autograd.grad(loss, parameters)
    found = [last.spikes.times, last.spikes.units, last.spikes.offsets, last.slopes, loss, values.at([1.0, 9.0])]
    return [tensor.detach() for tensor in [*found, *[result.peak for result in results], *gradients]]


def in_worker(queue, threads):
    try:
        torch.set_num_threads(threads)
        queue.put([tensor.tolist() for tensor in everything(network(), batch())])
    except BaseException as error:
        queue.put(repr(error))
        raise
