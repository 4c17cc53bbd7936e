"""The blocks of samples that a batch is worked off in, and the threads.

The blocks are the same whatever the number of threads, and partial gradients are added in block order: results are
bit-identical for any `torch.set_num_threads`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .kernels import layout

MAX_BLOCKS = 8
SYNAPTIC_EVENTS_PER_BLOCK = 50_000  # less work than this is not worth another block

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def in_blocks(events: layout.Events, num_neurons: int, work: Callable[[int, int], Any]) -> list[Any]:
    """[work(first, last) ...] over blocks of samples, on torch.get_num_threads() threads, in order.

    The blocks depend on the problem alone, never on the number of threads.
    """
    count = events.offsets.size - 1
    blocks = min(count, MAX_BLOCKS, 1 + events.times.size * num_neurons // SYNAPTIC_EVENTS_PER_BLOCK)
    edges = [count * k // blocks for k in range(blocks + 1)] if count else [0]
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    threads = torch.get_num_threads()
    if threads == 1 or len(spans) <= 1:
        return [work(*span) for span in spans]
    key = (os.getpid(), threads)  # threads do not survive a fork: every process makes its own
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="saltation")
    return list(_pools[key].map(lambda span: work(*span), spans))


def sum_blocks(
    events: layout.Events, shapes: Sequence[np.ndarray], N: int, run: Callable[..., None]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Add up, in block order, what run(first, last, times, *parts) writes to arrays of these shapes for each block of
    samples; `times` are shared, as every block has its own samples.
    """
    times = np.zeros_like(events.times)

    def block(first: int, last: int) -> list[np.ndarray]:
        parts = [np.zeros_like(array) for array in shapes]
        run(first, last, times, *parts)
        return parts

    total, *others = in_blocks(events, N, block) or [[np.zeros_like(array) for array in shapes]]
    for part in others:
        for sum_, partial in zip(total, part, strict=True):
            sum_ += partial
    return times, total
