"""Spike times against NEST's `iaf_psc_exp_ps` with precise times, an independent simulator of the same equations."""

import numpy as np
import pytest
import torch
from problems import random_spikes

import saltation as sal

nest = pytest.importorskip("nest", reason="NEST is not installed: pip install saltation[nest]")

RESOLUTION = 0.1  # ms; NEST keeps spike times as a step and a float64 offset within it
REFRACTORY = 0.2


def nest_spikes(inputs, weight, tau_mem, tau_syn, threshold, v_reset, duration):
    """[(time, neuron)] of one sample; delays of 1 ms, since NEST needs some, are subtracted from the input times."""
    nest.ResetKernel()
    nest.set_verbosity("M_ERROR")
    nest.resolution = RESOLUTION
    size, sources = weight.shape
    trains = [[t for t, i in inputs if i == source] for source in range(sources)]
    generators = nest.Create("spike_generator", sources)
    for generator, times in zip(generators, trains, strict=True):
        generator.set({"precise_times": True, "spike_times": times})
    neurons = nest.Create("iaf_psc_exp_ps", size)
    recorder = nest.Create("spike_recorder")
    for j in range(size):
        neurons[j].set(
            {"C_m": tau_mem[j], "tau_m": tau_mem[j], "tau_syn_ex": tau_syn[j], "tau_syn_in": tau_syn[j], "E_L": 0.0,
             "V_m": 0.0, "V_reset": v_reset[j], "V_th": threshold[j], "t_ref": REFRACTORY, "V_min": -1e9}
        )  # fmt: skip
        for i in range(sources):
            nest.Connect(generators[i], neurons[j], syn_spec={"weight": weight[j, i], "delay": 1.0})
    nest.Connect(neurons, recorder, syn_spec={"delay": 1.0})
    nest.Simulate(duration + 5.0)
    events = recorder.get("events")
    first = neurons[0].global_id
    order = np.lexsort((events["senders"], events["times"]))
    found = [(events["times"][k] - 1.0, events["senders"][k] - first) for k in order]
    return [(t, j) for t, j in found if t <= duration]


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.000001, 2.0, 4.0, 20.0])
def test_random_multi_spike_networks(ratio):
    generator = torch.Generator().manual_seed(int(10 * ratio))
    tau_mem = torch.tensor([10.0, 14.0, 20.0, 8.0], dtype=torch.float64)
    tau_syn = tau_mem / ratio
    threshold = torch.tensor([0.9, 1.0, 1.3, 0.7], dtype=torch.float64)
    v_reset = torch.tensor([0.0, -0.4, 0.3, 0.1], dtype=torch.float64)
    neuron = sal.LIF(4, tau_mem, tau_syn, threshold, v_reset=v_reset, refractory=REFRACTORY, train=())
    layer = sal.Layer(sal.Linear(5, 4).double(), neuron)
    # the response to a unit current peaks lower the larger the ratio
    scale = 1.0 + ratio
    with torch.no_grad():
        weight = torch.randn(4, 5, generator=generator, dtype=torch.float64) * 1.5 + 0.5
        layer.connection.weight.copy_(weight * scale)
    inputs = random_spikes(generator, samples=2, units=5, events=60, span=90.0, duration=100.0)
    shifted = inputs.sample(0).with_times(inputs.sample(0).times + 1.0)
    ours = layer(shifted).to_lists()[0]
    theirs = nest_spikes(
        inputs.to_lists()[0], layer.connection.weight.detach().numpy(), tau_mem.numpy(), tau_syn.numpy(),
        threshold.numpy(), v_reset.numpy(), 99.0,
    )  # fmt: skip
    ours = [(t, j) for t, j in ours if t - 1.0 <= 98.0]
    theirs = [(t + 1.0, j) for t, j in theirs if t <= 98.0]
    assert len(ours) >= 20
    assert [j for _, j in ours] == [j for _, j in theirs]
    np.testing.assert_allclose([t for t, _ in ours], [t for t, _ in theirs], rtol=1e-9)
