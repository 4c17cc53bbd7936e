"""Where in a network the parameters are that a chip has circuits for."""

from collections.abc import Iterator

from torch import Tensor, nn

from saltation import check
from saltation.connections import Connection
from saltation.layer import Layer
from saltation.neuron import Neuron


def layers_of(network: nn.Module) -> dict[str, Layer]:
    """The layers by the prefix of the names of their parameters. Raises ValueError if there are none."""
    found = {f"{name}." if name else "": part for name, part in network.named_modules() if isinstance(part, Layer)}
    check.require(bool(found), f"{type(network).__name__} has no Layer: give a network of saltation")
    return found


def connections_of(layer: Layer) -> Iterator[tuple[str, Connection]]:
    """Those with weights of their own, the recurrent one last, by the prefix of the names of their parameters."""
    for name, part in layer.named_modules():
        if isinstance(part, Connection) and part.parts() == [part]:
            yield f"{name}.", part


def tensor_of(module: Connection | Neuron, name: str) -> Tensor:
    """A parameter or buffer that can be replaced. Raises ValueError if it is computed from others."""
    if name in module._buffers:
        value = module._buffers[name]
        assert value is not None
        return value
    return module.own(name)
