"""Whole layers against their plain-Python twin: every way to simulate one, dense, sparse and recurrent.

The layers are those of test_plans.py, asked through the public API, so that it does not matter which kernels there are.
"""

import copy

import numpy as np
import pytest
import torch
from problems import random_spikes
from test_plans import PLANS, well_posed

import saltation as sal
from saltation.kernels import layout as L
from saltation.kernels.reference_layer import back_sample, run_sample


def few_then_many(spikes, pause=5.0):
    """Three inputs one by one, then the given ones."""
    events = [
        [(0.3 + 1.4 * k, unit) for k, (_, unit) in enumerate(sample[:3])] + [(t + pause, unit) for t, unit in sample]
        for sample in spikes.to_lists()
    ]
    return sal.Spikes.from_lists(events, spikes.num_units, spikes.duration + pause + 3.0)


def full(part):
    """Weights and delays (N, M), carrying gradients to the parameters, and which synapses there are."""
    weight, delay = part.dense()
    delay = delay.double().expand(weight.shape).clone() if delay.requires_grad else delay.double().expand(weight.shape)
    present = torch.zeros(weight.shape, dtype=torch.bool)
    if part.wiring is None:
        present[:] = True
    else:
        present[part.target, part.source] = True
    return weight.double(), delay, present.numpy()


@pytest.mark.parametrize(("reset", "refractory", "jump"), [("constant", 0.0, 0.3), ("subtract", 0.4, -1.6)])
@pytest.mark.parametrize("asked", ["spikes", "peaks", "ghosts"])
@pytest.mark.parametrize("plan", PLANS)
def test_layer_equals_its_twin(plan, asked, reset, refractory, jump):
    layer, spikes, coefficients = well_posed(plan, reset, refractory, jump, forced=6 if jump < 0 else 0)
    layer, peak = copy.deepcopy(layer), asked == "peaks"
    if asked == "ghosts":  # all of V - theta that falls again: after few inputs, after many, and time to fall
        layer.smoothing = 0.2
        spikes = few_then_many(spikes)
    layer.requires_grad_(True)
    if not peak:  # else the bins would be left
        layer.neuron.tau_mem.requires_grad_(False), layer.neuron.tau_syn.requires_grad_(False)
    times = spikes.times.clone().requires_grad_()
    near = random_spikes(torch.Generator().manual_seed(0), len(spikes), spikes.num_units, 10, duration=spikes.duration)
    if asked != "ghosts":
        near = sal.Spikes.silent(len(spikes), spikes.num_units, spikes.duration)
    strengths = near.times.clone().requires_grad_()  # the gradient of the time of a ghost is that of its strength
    result = layer.run(spikes.with_times(times).haunted(near.with_times(strengths)), peak=peak)

    places = layer.out_size // layer.neuron.size
    events, near = (L.Events(*(part.numpy() for part in (s.times, s.units, s.offsets))) for s in (spikes, near))
    packed = layer.neuron.packed().repeat_interleave(places, 0)
    neurons = L.Neurons(packed.detach().numpy(), reset == "subtract", True, spikes.duration, layer.smoothing)
    weight, delay, present = full(layer.connection)
    synapses = L.Synapses(weight.detach().numpy(), delay.detach().numpy())
    recurrent, tensors = None, [weight, delay]
    if layer.recurrent is not None:
        tensors += full(layer.recurrent)[:2]
        recurrent = L.Synapses(tensors[2].detach().numpy(), tensors[3].detach().numpy())
    samples = [run_sample(b, events, near, synapses, present, recurrent, neurons) for b in range(spikes.num_samples)]

    own, number = result.spikes.detach(), 0
    for b, sample in enumerate(samples):
        for kind, batch in (("spike", own), ("ghost", result.spikes.ghosts)):
            if batch is None:
                continue
            found = [[m.t for m in walk.moments if m.kind == kind] for walk in sample.walks]
            mine = batch.sample(b).to_lists()[0]
            number += len(mine) if kind == "ghost" else 0
            for j, twin in enumerate(found):
                np.testing.assert_allclose([t for t, unit in mine if unit == j], twin, rtol=0, atol=1e-11)
        if peak:
            twin = [walk.peak[0] for walk in sample.walks]
            np.testing.assert_allclose(result.peak[b].detach(), twin, rtol=0, atol=1e-11)
    if asked == "ghosts" and plan == "sweep" and jump > 0:  # some before a spike of the same neuron
        kinds = ["".join(m.kind[0] for m in walk.moments if m.kind != "arrival") for s in samples for walk in s.walks]
        assert any("gs" in kind for kind in kinds)
    assert asked == "ghosts" or number == 0

    G = coefficients[: own.times.numel()]
    G_peak = coefficients[-layer.out_size * spikes.num_samples :].view(-1, layer.out_size) * float(peak)
    loss = (G * result.spikes.times).sum() + ((G_peak * result.peak).sum() if peak else 0.0)
    ghosts, G_ghosts = result.spikes.ghosts, coefficients[1000:][:number]
    if ghosts is not None:
        loss = loss + (G_ghosts * ghosts.times).sum()
    total = L.Gradients(*(np.zeros(array.shape) for array in (times, weight, delay, packed, strengths)))
    of_recurrent = L.Synapses(*(np.zeros(tensor.shape) for tensor in tensors[2:])) if recurrent else None
    for b, sample in enumerate(samples):
        span = slice(own.offsets[b], own.offsets[b + 1])
        sent = [G[span][own.units[span] == j].tolist() for j in range(layer.out_size)]
        of_ghosts = []
        if ghosts is not None:
            span = slice(ghosts.offsets[b], ghosts.offsets[b + 1])
            of_ghosts = [G_ghosts[span][ghosts.units[span] == j].tolist() for j in range(layer.out_size)]
        back_sample(
            b, sample, synapses, recurrent, neurons, sent, of_ghosts, G_peak[b].tolist(), 0.0, total, of_recurrent
        )

    parameters = {"times": times, "strengths": strengths} | {
        name: p for name, p in layer.named_parameters() if p.requires_grad
    }
    ours = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    pairs = [(packed, total.parameters), (weight, total.weight), (delay, total.delay)]
    if recurrent:
        pairs += [(tensors[2], of_recurrent.weight), (tensors[3], of_recurrent.delay)]
    pairs = [(tensor, torch.from_numpy(grad)) for tensor, grad in pairs if tensor.requires_grad]
    outputs, sent = zip(*pairs, strict=True)
    twins = torch.autograd.grad(outputs, list(parameters.values()), sent, allow_unused=True)
    twins = [torch.from_numpy(total.times), torch.from_numpy(total.strengths), *twins[2:]]
    for name, left, right in zip(parameters, ours, twins, strict=True):
        left, right = (torch.zeros(1) if grad is None or not grad.numel() else grad for grad in (left, right))
        error = (left - right).abs().max() / (right.abs().max() + 1e-3)
        # the twin finds the time of a smooth peak to about the root of the float64 precision
        assert error < (1e-9 if asked == "spikes" else 1e-6), f"{name}: {error:.1e}"
    twins = dict(zip(parameters, twins, strict=True))
    assert all(twins[name].any() for name in ("times", "connection.weight", "neuron.threshold"))
