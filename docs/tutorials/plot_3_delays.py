"""
Learning delays
===============

Two patterns consist of the same four spikes, one forwards and one backwards in time. With weights that are all equal
and stay so, nothing but the delays can tell them apart. They are trained alone.
"""

import math

import matplotlib.pyplot as plt
import torch

import saltation as sal

# %%
# The patterns, each with some jitter.

generator = torch.Generator().manual_seed(1)
forwards = torch.tensor([0.0, 1.0, 2.0, 3.0])
labels = torch.arange(200) % 2
times = torch.where(labels[:, None] == 0, forwards, forwards.flip(0))
times = times + 0.2 + 0.1 * torch.rand(times.shape, generator=generator)
spikes = sal.Spikes.from_lists(
    [[(time, unit) for unit, time in enumerate(row)] for row in times.tolist()], num_units=4, duration=12.0
)

# %%
# Two output neurons, a delay of up to 4 for every synapse. A delay is a parameter like a weight; its gradient follows
# from what the arrival does to the spike times. The delays start at random.

layer = sal.Layer(
    sal.Linear(4, 2, delay="synaptic", max_delay=4.0),
    sal.LIF(2, tau_mem=1.0, tau_syn=0.5, refractory=math.inf, train=()),
)
torch.nn.init.constant_(layer.connection.weight, 3.0)
layer.connection.weight.requires_grad_(False)
sal.init.uniform_delays_(layer, 1.0, 3.0, generator)
before = layer.connection.delays().detach()

optimizer = torch.optim.Adam(sal.parameter_groups(layer, lr={"delay": 0.01}))
losses = []
for _ in range(150):
    out = layer(spikes)
    loss = sal.losses.shift_invariant(out, labels, margin=1.0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
accuracy = float((sal.losses.first_spike_prediction(layer(spikes)) == labels).double().mean())
after = layer.connection.delays().detach()
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}, accuracy {accuracy:.2f}")

# %%
# When the four spikes of pattern 0 arrive at each neuron. Two that meet are enough for a spike. At the neuron of the
# pattern (left) two now meet early, at the other one later; with pattern 1 it is the other way round.

figure, axes = plt.subplots(2, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
for row, (name, delays) in zip(axes, (("before", before), ("after", after)), strict=True):
    layer.connection.set_delays(delays)
    first = layer(spikes.sample(0)).first()[0]
    for neuron, axis in enumerate(row):
        axis.vlines(times[0] + delays[neuron], torch.arange(4) - 0.4, torch.arange(4) + 0.4, color="#0072B2", lw=3)
        axis.axvline(first[neuron].item(), color="#D55E00", ls="--", label="its spike")
        axis.set(title=f"neuron {neuron}, {name}", yticks=range(4))
    row[0].set_ylabel("arrival from input")
for axis in axes[1]:
    axis.set_xlabel("time")
_ = axes[0, 0].legend(frameon=False)

# %%
# Delays are kept in [min_delay, max_delay] whatever the optimiser does to the parameter behind them
# (:class:`saltation.connections.Connection`), so none can become negative. :doc:`/delays` has the kinds there are and
# what each costs.
