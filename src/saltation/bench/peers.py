"""The same workloads in packages with a time grid, as their documentation does it: multi-step where they offer it.

Every package gets the same events on a raster, the same sizes and time constants, float32, and weights scaled to the
same number of spikes. Synapses are applied to all steps at once, which is faster than step by step.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from saltation.bench.workloads import TAU_MEM, TAU_SYN, Workload, calibrate

UNREACHABLE = 1e30
SOME = 2  # samples on which spikes are counted
Dynamics = Callable[[Tensor], Tensor]  # currents (T, B, N) -> spikes or potentials (T, B, N)


class GridNetwork:
    """Hidden layer, leaky-integrator readout, and one step of training; subclasses bring the dynamics."""

    package = ""

    def __init__(self, workload: Workload, steps: int, scale: float | None = None):
        self.workload, self.labels = workload, workload.labels()
        self.dt = workload.duration / steps
        self.name = f"{self.package} {1e3 * self.dt:g} ms"
        self.raster = workload.spikes().to_dense(self.dt, time_first=True)[:steps]
        self.hidden_weight, self.readout_weight = (nn.Parameter(weight) for weight in workload.weights())
        weights = workload.weights()
        self.spiking, self.leaky = self.dynamics()
        self.scale = scale or calibrate(lambda s: self._set(weights, s), self.spikes_per_neuron, workload.target, 14)
        self._set(weights, self.scale)

    def _set(self, weights: tuple[Tensor, Tensor], scale: float) -> None:
        with torch.no_grad():
            for parameter, weight in zip((self.hidden_weight, self.readout_weight), weights, strict=True):
                parameter.copy_(scale * weight)

    def dynamics(self) -> tuple[Dynamics, Dynamics]:
        """Spiking neurons, and leaky integrators."""
        raise NotImplementedError

    def currents(self, raster: Tensor) -> Tensor:
        """(T, B, hidden) of raster (T, B, inputs)."""
        return raster @ self.hidden_weight.T

    def spikes_per_neuron(self) -> float:
        """Spikes of a hidden neuron in a sample, on average over some samples."""
        with torch.no_grad():
            spikes = self.spiking(self.currents(self.raster[:, :SOME]))
            return float(spikes.sum()) / (spikes.shape[1] * self.workload.hidden)

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [self.hidden_weight, self.readout_weight]

    def step(self) -> None:
        """One batch."""
        potentials = self.leaky(self.spiking(self.currents(self.raster)) @ self.readout_weight.T)
        logits = potentials.mean(0) if self.workload.readout == "mean" else potentials.amax(0)
        for parameter in self.parameters():
            parameter.grad = None
        nn.functional.cross_entropy(logits, self.labels).backward()

    def decays(self) -> tuple[float, float]:
        """e^{-dt/tau_syn}, e^{-dt/tau_mem}"""
        return math.exp(-self.dt / TAU_SYN), math.exp(-self.dt / TAU_MEM)


class SnnTorch(GridNetwork):
    """`snntorch.Synaptic` in a loop over time."""

    package = "snnTorch"

    def dynamics(self) -> tuple[Dynamics, Dynamics]:
        """As the base class says."""
        import snntorch

        alpha, beta = self.decays()
        spiking = snntorch.Synaptic(alpha=alpha, beta=beta, reset_mechanism="zero")
        leaky = snntorch.Synaptic(alpha=alpha, beta=beta, reset_mechanism="none")

        def loop(neuron: Any, which: int) -> Dynamics:
            def run(currents: Tensor) -> Tensor:
                state, record = neuron.reset_mem(), []
                for current in currents:
                    spike, *state = neuron(current, *state)
                    record.append((spike, *state)[which])
                return torch.stack(record)

            return run

        return loop(spiking, 0), loop(leaky, 2)


class SpikingJelly(GridNetwork):
    """`SynapseFilter` and `LIFNode`, both in multi-step mode; no filter where tau_syn is no longer than a step."""

    package = "SpikingJelly"

    def dynamics(self) -> tuple[Dynamics, Dynamics]:
        """As the base class says."""
        from spikingjelly.activation_based import functional, layer, neuron

        tau = TAU_MEM / self.dt

        def run(node: Any) -> Dynamics:
            filtered = self.dt < TAU_SYN
            synapse = layer.SynapseFilter(tau=TAU_SYN / self.dt, step_mode="m") if filtered else nn.Identity()

            def apply(currents: Tensor) -> Tensor:
                functional.reset_net(synapse)
                functional.reset_net(node)
                return node(synapse(currents))

            return apply

        spiking = run(neuron.LIFNode(tau=tau, detach_reset=True, step_mode="m"))
        integrator = neuron.LIFNode(tau=tau, v_threshold=UNREACHABLE, v_reset=None, store_v_seq=True, step_mode="m")
        leaky = run(integrator)

        def potential(currents: Tensor) -> Tensor:
            leaky(currents)
            return integrator.v_seq

        return spiking, potential


class Norse(GridNetwork):
    """`norse.torch.LIF` and `LI`, which loop over time by themselves."""

    package = "Norse"

    def dynamics(self) -> tuple[Dynamics, Dynamics]:
        """As the base class says."""
        import norse.torch

        rates = {"tau_syn_inv": torch.tensor(1 / TAU_SYN), "tau_mem_inv": torch.tensor(1 / TAU_MEM)}
        spiking = norse.torch.LIF(norse.torch.LIFParameters(**rates), dt=self.dt)
        leaky = norse.torch.LI(norse.torch.LIParameters(**rates), dt=self.dt)
        return (lambda currents: spiking(currents)[0]), (lambda currents: leaky(currents)[0])


class Dcls(SpikingJelly):
    """Trained delays by dilated convolution with learnable spacings (Hammouamri et al. 2024), then SpikingJelly."""

    package = "DCLS"

    def __init__(self, workload: Workload, steps: int, scale: float | None = None):
        from DCLS.construct.modules import Dcls1d

        self.reach = round(0.1 * steps / workload.duration)
        self.convolution = Dcls1d(
            workload.inputs, workload.hidden, 1, dilated_kernel_size=self.reach + 1, bias=False, version="gauss"
        )
        super().__init__(workload, steps, scale)

    def _set(self, weights: tuple[Tensor, Tensor], scale: float) -> None:
        super()._set(weights, scale)
        with torch.no_grad():
            self.convolution.weight.copy_(self.hidden_weight[:, :, None])

    def currents(self, raster: Tensor) -> Tensor:
        """(T, B, hidden) of raster (T, B, inputs)."""
        padded = nn.functional.pad(raster.permute(1, 2, 0), (self.reach, 0))
        return self.convolution(padded).permute(2, 0, 1)

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [*self.convolution.parameters(), self.readout_weight]


PEERS: dict[str, type[GridNetwork]] = {"snntorch": SnnTorch, "spikingjelly": SpikingJelly, "norse": Norse}
DELAY_PEERS: dict[str, type[GridNetwork]] = {"DCLS": Dcls}  # by the name under which it is imported and installed
