"""What shape comes out of a node of NIR, and whether it can take what goes in. Shapes are without batch and time."""

import math
from typing import Any, NamedTuple

import numpy as np

from saltation import check

Shape = tuple[int, ...]
Values = dict[str, np.ndarray]


class Windows(NamedTuple):
    """Windows that move over an image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def out(self, extent: Shape) -> tuple[int, int]:
        """How many there are in each direction."""
        room = [size + 2 * p - k for size, k, p in zip(extent, self.kernel, self.padding, strict=True)]
        check.require(min(room) >= 0, f"its kernel {self.kernel} is larger than the padded image, {extent}")
        return room[0] // self.stride[0] + 1, room[1] // self.stride[1] + 1


def same(node: Any, values: Values, shape: Shape) -> Shape:
    """Inputs and outputs of subgraphs."""
    return shape


def flat(node: Any, values: Values, shape: Shape) -> Shape:
    """Flatten: axes from start_dim to end_dim become one. The order of units stays as it is."""
    first, last = (_axis(node, name, len(shape)) for name in ("start_dim", "end_dim"))
    check.require(first <= last, f"start_dim = {node.start_dim} lies behind end_dim = {node.end_dim}")
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def _axis(node: Any, name: str, axes: int) -> int:
    value = int(getattr(node, name))
    # frameworks that count a batch axis write 1 where there is but one axis
    axis = min(value, axes - 1) if value >= 0 else value + axes
    check.require(0 <= axis < axes, f"{name} = {value}: there are {axes} axes")
    return axis


def linear(node: Any, values: Values, shape: Shape) -> Shape:
    """A matrix (out, in)."""
    weight = values["weight"]
    check.require(weight.ndim == 2, f"its weight has shape {weight.shape}: must be (out, in)")
    check.require(shape == weight.shape[1:], f"its weight {weight.shape} takes shape {weight.shape[1:]}")
    return weight.shape[:1]


def affine(node: Any, values: Values, shape: Shape) -> Shape:
    """The same with a bias, which must be 0."""
    _no_bias(values)
    return linear(node, values, shape)


def _no_bias(values: Values) -> None:
    largest = float(np.abs(values["bias"]).max(initial=0.0))
    check.require(
        largest == 0.0,
        f"it has a bias (up to {largest:g}), a constant input that neurons driven by spikes alone do not get; train "
        "without bias, or set it to 0",
    )


def convolution(node: Any, values: Values, shape: Shape) -> Shape:
    """(channels, height, width) to the same, of other size."""
    _no_bias(values)
    weight, groups = values["weight"], int(node.groups)
    check.require(weight.ndim == 4, f"its weight has shape {weight.shape}: must be (out, in, height, width)")
    check.require(len(shape) == 3, "it takes an image, (channels, height, width)")
    check.require(
        groups > 0 and shape[0] == weight.shape[1] * groups and weight.shape[0] % groups == 0,
        f"its weight {weight.shape} in {groups} groups takes {weight.shape[1] * groups} channels",
    )
    return (weight.shape[0], *windows(node, weight.shape[2:]).out(shape[1:]))


def pooling(node: Any, values: Values, shape: Shape) -> Shape:
    """(channels, height, width) to the same, of other size."""
    check.require(len(shape) == 3, "it takes an image, (channels, height, width)")
    return (shape[0], *windows(node, pair(node.kernel_size, "kernel_size", 1)).out(shape[1:]))


def windows(node: Any, kernel: Any) -> Windows:
    """Of a convolution or pooling."""
    height, width = (int(size) for size in kernel)
    dilation = pair(getattr(node, "dilation", 1), "dilation", 1)
    check.require(dilation == (1, 1), f"dilation = {dilation}: must be 1")
    stride, padding = pair(node.stride, "stride", 1), node.padding
    padding = padding.decode() if isinstance(padding, bytes) else padding
    if isinstance(padding, str):
        if padding == "valid":
            padding = 0
        else:
            odd = padding == "same" and stride == (1, 1) and height % 2 == width % 2 == 1
            check.require(
                odd, f"padding = {padding!r}: must be 'valid', 'same' (kernels of odd size, stride 1) or numbers"
            )
            padding = (height // 2, width // 2)
    return Windows((height, width), stride, pair(padding, "padding", 0))


def pair(value: Any, name: str, low: int) -> tuple[int, int]:
    """(height, width), from one whole number or two."""
    numbers = np.asarray(value).reshape(-1)
    legal = (
        numbers.size in (1, 2) and np.issubdtype(numbers.dtype, np.number) and (numbers == numbers.astype(int)).all()
    )
    check.require(bool(legal) and bool((numbers >= low).all()), f"{name} = {value}: must be one or two whole numbers")
    first, last = int(numbers[0]), int(numbers[-1])
    return first, last


def delay(node: Any, values: Values, shape: Shape) -> Shape:
    """One delay for every unit, in seconds."""
    check.require(values["delay"].shape == shape, f"its delays have shape {values['delay'].shape}")
    low = float(values["delay"].min(initial=0.0))
    check.require(low >= 0.0, f"a delay is {low:g}: must be >= 0")
    return shape


def scale(node: Any, values: Values, shape: Shape) -> Shape:
    """A factor for every unit."""
    check.require(values["scale"].shape == shape, f"its factors have shape {values['scale'].shape}")
    return shape


def elementwise(node: Any, values: Values, shape: Shape) -> Shape:
    """Neurons: values of the same shape, or single ones for all."""
    for name, value in values.items():
        check.require(value.size == 1 or value.shape == shape, f"its {name} has shape {value.shape}")
    return shape
