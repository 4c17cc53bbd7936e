"""A network with trainable delays and thresholds in a PyTorch loop of your own: which of two inputs came first?"""

import math

import torch

import saltation as sal

generator = torch.Generator().manual_seed(0)
times = torch.rand(200, 2, generator=generator)  # two inputs, one spike each, in units of tau_syn
labels = (times[:, 0] > times[:, 1]).long()  # 0: input 0 came first
spikes = sal.Spikes.from_lists([[(t0, 0), (t1, 1)] for t0, t1 in times.tolist()], num_units=2, duration=6.0)

hidden = sal.Layer(
    sal.Linear(2, 10, delay="synaptic", max_delay=1.0), sal.LIF(10, tau_mem=2.0, tau_syn=1.0, refractory=math.inf)
)
output = sal.Layer(
    sal.Linear(10, 2, delay="axonal", max_delay=1.0), sal.LIF(2, tau_mem=2.0, tau_syn=1.0, refractory=math.inf)
)
sal.init.uniform_delays_(hidden, 0.0, 1.0, generator)
sal.init.drive_(hidden, spikes, generator)  # weights that make the layers fire from the start
sal.init.drive_(output, hidden(spikes), generator)
network = sal.Sequential(hidden, output)

optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for step in range(101):
    out = network(spikes)
    loss = sal.losses.shift_invariant(out, labels, margin=0.3)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # a spike that grazes its threshold has a huge gradient
    optimizer.step()
    network.constrain_()
    if step % 20 == 0:
        accuracy = (sal.losses.first_spike_prediction(out) == labels).double().mean()
        print(f"step {step:3d}  loss {loss:.3f}  accuracy {accuracy:.2f}")
