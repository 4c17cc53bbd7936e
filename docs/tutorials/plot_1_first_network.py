"""
A first network
===============

Two inputs spike once each. Which came first? A network of ten hidden neurons learns it, with its weights, the delays
of its synapses and its thresholds.
"""

import math

import torch

import saltation as sal
from saltation import plot

# %%
# **The data.** A sample is a list of pairs (time, unit). Times are real numbers in any unit; here they are in units of
# the synaptic time constant. Nothing lies on a grid.

generator = torch.Generator().manual_seed(0)
times = torch.rand(200, 2, generator=generator)
labels = (times[:, 0] > times[:, 1]).long()
spikes = sal.Spikes.from_lists([[(a, 0), (b, 1)] for a, b in times.tolist()], num_units=2, duration=6.0)
print(spikes)

# %%
# **The network.** A layer is a connection and the neurons behind it. With ``refractory=math.inf`` a neuron spikes once
# at most, and the class is the output that spikes first. :func:`saltation.init.drive_` draws weights with which a layer
# fires from the start: a silent neuron has no gradient.

neurons = {"tau_mem": 2.0, "tau_syn": 1.0, "refractory": math.inf, "train": ("threshold",)}
hidden = sal.Layer(sal.Linear(2, 10, delay="synaptic", max_delay=1.0), sal.LIF(10, **neurons))
output = sal.Layer(sal.Linear(10, 2, delay="axonal", max_delay=1.0), sal.LIF(2, **neurons))
sal.init.uniform_delays_(hidden, 0.0, 1.0, generator)
sal.init.drive_(hidden, spikes, generator)
sal.init.drive_(output, hidden(spikes), generator)
network = sal.Sequential(hidden, output)
before = {name: value.clone() for name, value in network.state_dict().items()}

# %%
# **The loop** is PyTorch's. ``constrain_`` moves trained thresholds back where they are legal.

optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for step in range(121):
    out = network(spikes)
    loss = sal.losses.shift_invariant(out, labels, margin=0.3)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    network.constrain_()
    accuracy = float((sal.losses.first_spike_prediction(out) == labels).double().mean())
    if step % 40 == 0:
        print(f"step {step:3d}  loss {loss:.3f}  accuracy {accuracy:.2f}")

# %%
# **One sample**, from the input to the answer, and the membrane potential of a hidden neuron against its threshold.
# The output of the right class (0: input 0 came first) spikes before the other one.

chosen = int((labels == 0).nonzero()[0])
figure = plot.sample_figure(network, spikes.sample(chosen), label=0, unit="τ_syn", end=4.0)

# %%
# **What changed**: weights, delays and thresholds, before and after.

figure = plot.parameter_figure(network, before, unit="τ_syn")
