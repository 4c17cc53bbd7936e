"""A chain of linear nodes as a list of synapses: from which unit, to which unit, with which weight and delay.

This is what any chain of matrices, convolutions, pools and delays comes to, since spikes are summed where they meet.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from saltation import check
from saltation.convolution import Conv2d

from . import shapes

MOST = 2**26  # synapses of one chain
SPARSE = 0.5  # a matrix with fewer synapses than this part of all pairs is a list of those


class Terms(NamedTuple):
    """Synapses, each array (S,); a pair may have several."""

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    delay: np.ndarray

    def then(self, other: "Terms") -> "Terms":
        """Through one and then through the other: weights multiply, delays add up."""
        order = np.argsort(other.source, kind="stable")
        sources = other.source[order]
        first = np.searchsorted(sources, self.target, side="left")
        count = np.searchsorted(sources, self.target, side="right") - first
        total = int(count.sum())
        check.require(total <= MOST, f"it comes to {total:,} synapses, more than {MOST:,}")
        mine = np.repeat(np.arange(len(count)), count)
        theirs = order[np.arange(total) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)]
        return Terms(
            self.source[mine],
            other.target[theirs],
            self.weight[mine] * other.weight[theirs],
            self.delay[mine] + other.delay[theirs],
        ).merged()

    def present(self) -> "Terms":
        """Without synapses of weight 0."""
        kept = self.weight != 0.0
        return Terms(*(values[kept] for values in self))

    def merged(self) -> "Terms":
        """Sorted by target, source and delay; synapses that differ in weight alone become one."""
        order = np.lexsort((self.delay, self.source, self.target))
        source, target, delay = self.source[order], self.target[order], self.delay[order]
        new = (np.diff(target) != 0) | (np.diff(source) != 0) | (np.diff(delay) != 0)
        start = np.flatnonzero(np.concatenate([[True], new])) if len(order) else np.empty(0, int)
        weight = np.add.reduceat(self.weight[order], start) if len(start) else self.weight
        return Terms(source[start], target[start], weight, delay[start])

    def single(self) -> list["Terms"]:
        """Several lists in which no pair of units comes twice."""
        pair = np.flatnonzero(np.concatenate([[True], (np.diff(self.target) != 0) | (np.diff(self.source) != 0)]))
        length = np.diff(np.append(pair, len(self.source)))
        rank = np.arange(len(self.source)) - np.repeat(pair, length)
        return [Terms(*(values[rank == k] for values in self)) for k in range(int(rank.max(initial=0)) + 1)]


def unused() -> torch.Generator:
    """For weights that are set afterwards: torch's global generator is left alone."""
    return torch.Generator()


def matrix(weight: np.ndarray) -> Terms:
    """Of a matrix (out, in): all pairs, or those that are not 0 where these are few."""
    kept = weight != 0 if np.count_nonzero(weight) < SPARSE * weight.size else np.ones_like(weight, bool)
    target, source = kept.nonzero()
    return Terms(source, target, weight[kept], np.zeros(len(source)))


def factors(weight: np.ndarray) -> Terms:
    """One synapse from every unit to the same unit."""
    unit = np.arange(weight.size)
    return Terms(unit, unit, weight.reshape(-1), np.zeros(weight.size))


def pool(node: Any, shape: tuple[int, ...], mean: bool) -> Terms:
    """Of a pooling of an image: a convolution of every channel by itself."""
    extent = shapes.windows(node, shapes.pair(node.kernel_size, "kernel_size", 1))
    connection = Conv2d(shape, shape[0], extent.kernel, extent.stride, extent.padding, shape[0], generator=unused())
    source, target = connection.source.numpy(), connection.target.numpy()
    weight = 1.0 / np.prod(extent.kernel) if mean else 1.0
    return Terms(source, target, np.full(len(source), weight), np.zeros(len(source)))


def convolution(node: Any, weight: np.ndarray, shape: tuple[int, ...]) -> Terms:
    """Of a convolution of an image."""
    connection = conv2d(node, weight.shape, shape)
    source, target, element = (x.numpy() for x in (connection.source, connection.target, connection.element))
    return Terms(source, target, weight.reshape(-1)[element], np.zeros(len(source))).merged()


def conv2d(node: Any, weight: tuple[int, ...], shape: tuple[int, ...], **options: Any) -> Conv2d:
    """The same as a connection, with weights of its own still."""
    extent = shapes.windows(node, weight[2:])
    geometry = (extent.kernel, extent.stride, extent.padding, int(node.groups))
    return Conv2d(shape, weight[0], *geometry, generator=unused(), **options)


def of_node(kind: str, node: Any, values: dict[str, np.ndarray], shape: tuple[int, ...]) -> Terms | None:
    """Of one node that gets `shape`; None if it changes nothing."""
    if kind in ("Linear", "Affine"):
        return matrix(values["weight"])
    if kind == "Conv2d":
        return convolution(node, values["weight"], shape)
    if kind in ("SumPool2d", "AvgPool2d"):
        return pool(node, shape, mean=kind == "AvgPool2d")
    if kind == "Scale":
        return factors(values["scale"])
    if kind == "Delay":
        return factors(np.ones(values["delay"].size))._replace(delay=values["delay"].reshape(-1))
    return None
