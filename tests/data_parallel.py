"""What the processes of test_distributed.py do; a module of its own, which they can import."""

import torch
import torch.distributed as dist
import torch.multiprocessing
from problems import random_layer, random_spikes
from torch.nn.parallel import DistributedDataParallel

import saltation as sal

PROCESSES, SAMPLES = 2, 8
STEPS = ((True, True), (True, False), (False, False))  # for each process: whether its samples pass the extra layer
RETURNS = ("spikes", "results", "readout", "value")


class Network(torch.nn.Module):
    """Two layers, and a third one between them that a step may leave out; `returns` says what forward returns."""

    def __init__(self, returns):
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.returns = returns
        self.hidden = random_layer(draw, 4, 6, "synaptic", train=("threshold", "tau_mem")).double()
        self.extra = random_layer(draw, 6, 6, "axonal", train=("threshold",)).double()
        neuron = sal.LI(3, 2.0, 1.0, train=("tau_syn",)) if returns in ("readout", "value") else None
        self.output = random_layer(draw, 6, 3, "dendritic", train=("threshold",)).double()
        if neuron is not None:
            self.output = sal.Layer(self.output.connection, neuron.double())

    def forward(self, spikes, with_extra):
        inner = self.hidden(spikes)
        if with_extra:
            inner = self.extra(inner)
        if self.returns == "results":
            return {"inner": [inner], "output": self.output.run(inner, peak=True)}
        output = self.output(inner)
        return output.integral() if self.returns == "value" else output


def loss_of(out, returns):
    """A mean over samples that every output of the network enters."""
    if returns == "value":
        return out.square().sum(1).mean()
    if returns == "readout":
        return out.integral().square().sum(1).mean() + out.maximum().sum(1).mean()
    if returns == "results":
        peak, inner = out["output"].peak, out["inner"][0]
        out = out["output"].spikes
        return torch.sin(out.times).sum() / len(out) + peak.sum(1).mean() + 0.1 * inner.times.sum() / len(inner)
    return torch.sin(out.times).sum() / len(out)


def halves():
    batch = random_spikes(torch.Generator().manual_seed(2), samples=SAMPLES)
    size = SAMPLES // PROCESSES
    samples = [batch.sample(b) for b in range(SAMPLES)]
    return [sal.Spikes.cat(samples[rank * size : (rank + 1) * size]) for rank in range(PROCESSES)]


def gradients(model):
    return {name: None if p.grad is None else p.grad.tolist() for name, p in model.named_parameters()}


def in_process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    found = {}
    for returns in RETURNS:
        for options in ({"find_unused_parameters": True}, {}, {"static_graph": True}):
            model = Network(returns)
            wrapped = DistributedDataParallel(model, **options)
            for step, used in enumerate(STEPS if "find_unused_parameters" in options else 2 * STEPS[:1]):
                model.zero_grad()
                loss_of(wrapped(halves()[rank], used[rank]), returns).backward()
                found[(returns, step, *options)] = gradients(model)
    torch.save(found, f"{folder}/{rank}")
    dist.destroy_process_group()
