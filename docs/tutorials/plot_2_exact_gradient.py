"""
The gradient of a spike time
============================

One neuron, one input spike. Its spike time has a formula, so it can be seen what the exact gradient is, that saltation
computes it, and where it ends: at the weight where the spike disappears.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import saltation as sal

# %%
# With :math:`\tau_{mem} = 2` and :math:`\tau_{syn} = 1`, an input of weight w at time 0 makes
# :math:`V(t) = w (e^{-t/2} - e^{-t})`. It reaches the threshold 1 if w is at least 4, at
# :math:`t = -2 \ln \frac{1 + \sqrt{1 - 4/w}}{2}`.

spike = sal.Spikes.from_lists([[(0.0, 0)]], num_units=1, duration=6.0)
layer = sal.Layer(sal.Linear(1, 1), sal.LIF(1, tau_mem=2.0, tau_syn=1.0, refractory=float("inf"), train=()))
layer.double()


def spike_time(weight: float) -> tuple[float, float]:
    """The first spike time for this weight, and its derivative."""
    layer.connection.weight.grad = None
    with torch.no_grad():
        layer.connection.weight.fill_(weight)
    time = layer(spike).first(silent=float("nan"))
    time.backward()
    return time.item(), layer.connection.weight.grad.item()


def formula(weight: np.ndarray) -> np.ndarray:
    """The same time on paper."""
    return -2 * np.log((1 + np.sqrt(1 - 4 / weight)) / 2)


weights = np.linspace(4.001, 9.0, 80)
found = np.array([spike_time(weight) for weight in weights])
slope = (formula(weights + 1e-6) - formula(weights - 1e-6)) / 2e-6
print("largest error of a time:", np.abs(found[:, 0] - formula(weights)).max())
print("largest relative error of a gradient:", np.abs(found[:, 1] / slope - 1).max())

# %%
# A simulation in steps sees a spike at the end of the step in which V crosses. Its spike time is a staircase, whose
# derivative is 0 nearly everywhere, so a slope has to be made up for it: the surrogate gradient. The time itself
# has a tangent.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.plot(weights, found[:, 0], color="#0072B2", label="exact")
left.step(weights, np.ceil(found[:, 0] / 0.2) * 0.2, where="post", color="#6E6E6E", lw=1, label="steps of 0.2")
time, gradient = spike_time(5.0)
near = np.array([4.4, 6.2])
left.plot(near, time + gradient * (near - 5.0), color="#D55E00", ls="--", label="gradient at w = 5")
left.axvspan(3.0, 4.0, color="#6E6E6E", alpha=0.15)
left.text(3.5, 0.75, "silent", ha="center")
left.set(xlabel="weight w", ylabel="spike time (τ_syn)", xlim=(3.0, 9.0))
left.legend(frameon=False)

t = np.linspace(0.0, 6.0, 400)
for weight, color in ((3.9, "#6E6E6E"), (4.02, "#D55E00"), (6.0, "#0072B2")):
    right.plot(t, weight * (np.exp(-t / 2) - np.exp(-t)), color=color, label=f"w = {weight}")
right.axhline(1.0, color="black", lw=0.8, ls=":")
right.set(xlabel="time (τ_syn)", ylabel="V without the reset")
right.legend(frameon=False)

# %%
# On the right is what limits an exact gradient. At w = 4.02 the potential only grazes the threshold: a small change
# of the weight moves the spike far, and the gradient, divided by the slope of V there, grows without bound. At
# w = 3.9 there is no spike, and the gradient is 0, though a little more weight would change everything.

print("gradient at w = 6, 4.02 and 4.00005:", [round(spike_time(weight)[1], 2) for weight in (6.0, 4.02, 4.00005)])
print("slopes at the spikes:", layer.run(spike).slopes.tolist(), "of which grazing:", layer.run(spike).grazing)

# %%
# So clip the norm of the gradient, or set ``min_slope`` of the neurons, and see :doc:`/silent-neurons` for the rest.
