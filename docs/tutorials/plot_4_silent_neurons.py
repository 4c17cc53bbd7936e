"""
A network that is silent
========================

No hidden neuron fires at the start. The exact gradient is then exactly 0, and nothing is ever learned. Three ways out.
"""

import math

import matplotlib.pyplot as plt
import torch

import saltation as sal

# %%
# Which of two inputs came first, as in the first tutorial, read out by leaky integrators. The weights are so small
# that the potential of every hidden neuron stays below the threshold.

generator = torch.Generator().manual_seed(0)
times = 2 * torch.rand(200, 2, generator=generator)
labels = (times[:, 0] > times[:, 1]).long()
spikes = sal.Spikes.from_lists([[(a, 0), (b, 1)] for a, b in times.tolist()], num_units=2, duration=8.0)


def network(smoothing: float) -> sal.Sequential:
    """The same silent network every time."""
    draw = torch.Generator().manual_seed(3)
    neuron = sal.LIF(20, tau_mem=2.0, tau_syn=1.0, refractory=math.inf, train=())
    hidden = sal.Layer(sal.Linear(2, 20, delay="synaptic", max_delay=1.0), neuron, smoothing=smoothing)
    sal.init.uniform_delays_(hidden, 0.0, 1.0, draw)
    sal.init.normal_(hidden, 1.4, 0.2, draw)
    output = sal.Layer(sal.Linear(20, 2), sal.LI(2, tau_mem=2.0, tau_syn=1.0))
    sal.init.normal_(output, 0.0, 0.5, draw)
    return sal.Sequential(hidden, output)


result = network(0.0)[0].run(spikes, peak=True)
print("spikes:", result.spikes.times.numel(), " highest V - threshold:", round(result.peak.max().item(), 3))

# %%
# *Nothing*: the exact gradient as it is. *Peak*: a penalty on the distance of the highest potential to the
# threshold, which has an exact gradient too. *Bump*: neurons silent in nearly all samples get more weight.
# *Smoothed*: the gradient also has what the loss would change if near misses became spikes.


def train(way: str) -> list[float]:
    """The accuracy after every step."""
    model = network(0.3 if way == "smoothed" else 0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    accuracies = []
    for _ in range(100):
        results = model.run(spikes, peak=way == "peak")
        logits = results[-1].weighted(2.0)
        loss = sal.losses.readout_cross_entropy(logits, labels)
        if way == "peak":
            loss = loss + sal.regularizers.peak_hinge(results[0].peak, results[0].spikes.counts(), margin=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if way == "bump":
            sal.regularizers.bump_silent_(model[0], results[0].spikes, max_silent=0.9, amount=0.05)
        accuracies.append(float((logits.argmax(1) == labels).double().mean()))
    return accuracies


curves = {way: train(way) for way in ("nothing", "peak", "bump", "smoothed")}
figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
for (way, curve), color in zip(curves.items(), ("#6E6E6E", "#009E73", "#E69F00", "#0072B2"), strict=True):
    axis.plot([100 * value for value in curve], label=way, color=color)
axis.set(xlabel="step", ylabel="accuracy (%)", ylim=(40, 101))
axis.legend(frameon=False)
print({way: round(curve[-1], 3) for way, curve in curves.items()})

# %%
# Peak and bump wake neurons up whether or not that helps. The smoothed gradient knows the loss: it raises the neurons
# whose spikes would lower it; here that begins later, and ends as high. It is not exact, and :doc:`/smoothed-gradient`
# has what is in it. Quadratic neurons, :class:`saltation.QIF`, avoid the question: their spikes come and go at the
# end of the sample only.
