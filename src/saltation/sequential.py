"""`Sequential`: layers one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from . import check
from .convolution import SumPool2d
from .layer import Layer
from .neurons import LI
from .ops import SpikeBudgetError
from .spikes import Spikes


class Sequential(nn.Module):
    """Layers one after the other.

    Args:
        layers: at least one `Layer`; between them there may be `SumPool2d`. The sizes must match, and only the last may
            hold leaky integrators.
        beside: connections that skip layers. {k: (i, ...)}: layer k, whose connection is a `Beside`, gets the spikes of
            the layer before it and, beside them, the input of each layer i < k; i = 0 is the input of the network.
    """

    def __init__(self, *layers: Layer | SumPool2d, beside: Mapping[int, Sequence[int]] | None = None):
        super().__init__()
        check.require(len(layers) > 0, "Sequential needs at least one layer")
        self.beside = {k: tuple(others) for k, others in (beside or {}).items()}
        sizes = [layers[0].in_size]
        for k, layer in enumerate(layers):
            others = self.beside.get(k, ())
            legal = all(0 <= i < k for i in others)
            check.require(legal, f"beside = {beside}: the others of layer {k} must be layers before it")
            check.width(sum(sizes[i] for i in (k, *others)), layer.in_size, f"the input of layer {k}")
            spikes = not isinstance(layer, Layer) or not isinstance(layer.neuron, LI)
            check.require(spikes or k == len(layers) - 1, f"layer {k} does not spike: leaky integrators must come last")
            sizes.append(layer.out_size)
        self.layers = nn.ModuleList(layers)

    def forward(self, spikes: Spikes) -> Any:
        """The last layer's output."""
        return self.walk(spikes, lambda layer, inputs: layer(inputs))

    def run(self, spikes: Spikes, peak: bool = False, between: Callable[[Spikes], Spikes] | None = None) -> list[Any]:
        """One `Result` per spiking layer; the `Readout` for a last layer of leaky integrators; none for pooling.

        Args:
            peak: see `Layer.run`.
            between: changes the spikes that a layer sends to the next, for example leaves some out in training; results
                hold those before the change.
        """
        results: list[Any] = []

        def step(layer: Any, inputs: Spikes) -> Any:
            if not isinstance(layer, Layer):
                return layer(inputs)
            readout = isinstance(layer.neuron, LI)
            results.append(layer(inputs) if readout else layer.run(inputs, peak))
            if readout:
                return results[-1]
            return results[-1].spikes if between is None else between(results[-1].spikes)

        self.walk(spikes, step)
        return results

    def walk(self, spikes: Spikes, step: Callable[[Any, Spikes], Any]) -> Any:
        """`step(layer, its input)` for one layer after the other; what it returns goes on. Returns the last."""
        sent: list[Any] = [spikes]
        for k, layer in enumerate(self.layers):
            first, *others = (sent[i] for i in (k, *self.beside.get(k, ())))
            sent.append(self._numbered(k, step, layer, first.beside(*others) if others else first))
        return sent[-1]

    def constrain_(self) -> None:
        """Move trained neuron parameters back into their legal range; call it after optimiser steps."""
        for layer in self.layers:
            if isinstance(layer, Layer):
                layer.constrain_()

    @staticmethod
    def _numbered(k: int, run: Callable[..., Any], *arguments: Any) -> Any:
        """Errors say which layer they come from."""
        try:
            return run(*arguments)
        except SpikeBudgetError as error:
            raise SpikeBudgetError(error.neuron, error.sample, error.budget, error.plan, layer=k) from None
        except (ValueError, TypeError) as error:
            error.args = (f"layer {k}: {error}",)
            raise

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)  # type: ignore[arg-type]

    def __getitem__(self, k: int) -> Layer:
        return self.layers[k]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.layers)
