"""
Your own signals
================

Signals become events, events a file, and a file a training run with a report. The signals here are made up: three
movements that differ in how their two axes follow each other.
"""

import tempfile
from pathlib import Path

import numpy as np

from saltation import data, plot
from saltation.train import evaluate_run, load_config, load_run, train

# %%
# Signals are an array (samples, variables, steps). :func:`saltation.data.level_crossing` makes an event whenever one
# has moved by ``delta``, at the interpolated time: one channel for up and one for down.

rng = np.random.default_rng(0)
samples, dt = 360, 0.01
labels = np.arange(samples) % 3
t = np.arange(0.0, 1.0, dt)
lag = np.array([-0.12, 0.0, 0.12])[labels][:, None]  # the second axis is behind, in step, or ahead
pace = 2.0 + 0.4 * rng.standard_normal((samples, 1))
phase = rng.uniform(0, 1, (samples, 1))
signals = np.stack([np.sin(2 * np.pi * (pace * t + phase)), np.sin(2 * np.pi * (pace * (t + lag) + phase))], axis=1)
signals += 0.02 * rng.standard_normal(signals.shape)
split = np.repeat([data.TRAIN, data.VALIDATION, data.TEST], [240, 60, 60])
events = data.level_crossing(
    signals, labels, split, dt=dt, delta=0.25, class_names=("behind", "in step", "ahead"), source="movements"
)
print(events)
figure = plot.raster_figure(events, unit="s")

# %%
# ``save_npz`` writes the file that ``saltation train RECIPE --data.path FILE`` reads. A recipe says what is not the
# default. Time constants are in the unit of the data, seconds.

folder = Path(tempfile.mkdtemp())
data.save_npz(folder / "movements.npz", events)
recipe = folder / "movements.yaml"
recipe.write_text(
    f"""
data: {{name: events, path: {folder / "movements.npz"}, split_key: split}}
model:
  layers:
    - {{size: 40, tau_mem: 0.05, tau_syn: 0.02, delay: synaptic, max_delay: 0.3, weights: {{drive: 2.0}}}}
    - {{neuron: li, tau_mem: 0.1, tau_syn: 0.02}}
loss: {{name: readout, readout: integral}}
train: {{epochs: 15, batch_size: 40, lr: {{weight: 0.02, readout: 0.02, delay: 0.02, threshold: 0.01}}}}
"""
)
result = train(load_config(recipe), folder / "run", quiet=True)
print("epochs:", result["epochs"], " test accuracy:", result["test_accuracy"])

# %%
# The run folder has the resolved recipe, metrics, checkpoints and pictures; ``saltation report`` makes a page of it.
# From Python, ``load_run`` gives the network and ``evaluate_run`` its figures.

figures = evaluate_run(folder / "run")
figure = plot.confusion_figure(figures["confusion"], events.class_names)

# %%

model, _, _ = load_run(folder / "run")
spikes, chosen = events.subset("test").batch([0])
figure = plot.sample_figure(model, spikes, int(chosen[0]), events.class_names, unit="s")

# %%
# Tables, images, sound, rasters and recordings of event cameras have their encoders too: :doc:`/data`.
