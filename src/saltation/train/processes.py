"""Training by several processes, each with its share of every batch: those of torchrun, or of a process group.

All draw the same random numbers and see the same sums, so that they take the same steps: those of one process.
"""

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from saltation.environment import started

Value = TypeVar("Value")
Draw = Callable[..., Tensor]


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is. What asks the others must be called by all, in the same order."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and prints."""
        return self.rank == 0

    def share(self, samples: int) -> slice:
        """Which samples of a batch are those of this process. Shares differ by one sample at most, and may be empty."""
        return slice(samples * self.rank // self.count, samples * (self.rank + 1) // self.count)

    def weight(self, samples: int) -> float:
        """Of a mean over the own share of so many samples: the mean over the processes then is that over the batch."""
        share = self.share(samples)
        return (share.stop - share.start) * self.count / samples

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, without gradient; bit for bit the same in all of them."""
        if self.count == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values)
        return values

    def batch_mean(self, values: Tensor) -> Tensor:
        """(b, ...) of the own share -> (...), the mean over the samples of all processes.

        Its gradient is that of the own share times the number of processes, so that the mean of the gradients of
        parameters, which DistributedDataParallel takes, is the gradient of a function of this mean.
        """
        if self.count == 1:
            return values.mean(0)
        own, samples = values.sum(0), torch.tensor([len(values)], dtype=torch.float64)
        whole = self.total(torch.cat([own.detach().flatten().double(), samples]))
        mean = whole[:-1].reshape(own.shape).to(own.dtype) / whole[-1].to(own.dtype)
        return mean + self.count * (own - own.detach()) / whole[-1].to(own.dtype)

    def together(self, draw: Draw) -> Draw:
        """`draw(shape (n,), ...)` for the events of all processes at once, in the order of ranks; to each its own.

        A generator that is the same in all of them stays so, and gives each event what it gets in a single process.
        """

        def part(shape: Any, **rest: Any) -> Tensor:
            sizes = torch.zeros(self.count, dtype=torch.int64)
            sizes[self.rank] = shape[0]
            ends = self.total(sizes).cumsum(0).tolist()
            return draw((ends[-1],), **rest)[ends[self.rank] - shape[0] : ends[self.rank]]

        return draw if self.count == 1 else part

    def parallel(self, network: nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with `network` before its arguments; the gradients that the backward pass then leaves in the
        parameters are means over the processes.
        """
        if self.count == 1:
            return partial(function, network)
        return DistributedDataParallel(_Call(network, function))

    def by_leader(self, do: Callable[[], Value]) -> Value:
        """What `do` returns in the process that leads, or the error that it raises there."""
        if self.count == 1:
            return do()
        found: list[Any] = [None, None]
        if self.leads:
            try:
                found[0] = do()
            except Exception as error:
                found[1] = error
        dist.broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        value: Value = found[0]
        return value

    def wait(self) -> None:
        """Until all are here: what the leader has written before, all can read then."""
        if self.count > 1:
            dist.barrier()

    def check_same(self, network: nn.Module) -> None:
        """Raise RuntimeError if the processes have come to hold different parameters."""
        if self.count == 1:
            return
        digest = hashlib.sha256()
        for parameter in network.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, digest.hexdigest())
        if len(set(found)) > 1:
            raise RuntimeError(
                "the processes no longer hold the same parameters: they must run on processors of one kind, with the "
                "same versions of all packages"
            )

    def threads(self) -> int:
        """How many threads a process takes unless told otherwise: an equal share of the cores of its machine.

        What the user says by OMP_NUM_THREADS holds, except 1: torchrun sets it where nothing was said.
        """
        if self.count == 1:
            return torch.get_num_threads()
        said = os.environ.get("OMP_NUM_THREADS", "1")
        if said.isdecimal() and int(said) > 1:
            return int(said)
        return max(len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", self.count)), 1)


ALONE = Processes()


class _Call(nn.Module):
    """A function of a network as a module, which is what DistributedDataParallel wraps.

    It holds what is trained alone: buffers are constants, which would be sent around at every call.
    """

    def __init__(self, network: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.trained = nn.ParameterList(parameter for parameter in network.parameters() if parameter.requires_grad)
        self.call = partial(function, network)

    def forward(self, *arguments: Any) -> Any:
        """What the function returns."""
        return self.call(*arguments)


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes of the default process group, which is made where torchrun has started several; or this alone."""
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
    elif started()[1] == 1:
        yield ALONE
    else:
        _meet()
        try:
            yield Processes(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()


def _meet() -> None:
    """Make the process group.

    One torchrun keeps one store for all its attempts, in which a process that is quick would find the addresses of the
    attempt before, where nobody listens: the attempts get places of their own. Several torchruns count differently.
    """
    if not dist.is_torchelastic_launched() or os.environ.get("GROUP_WORLD_SIZE") != "1":
        dist.init_process_group("gloo")
        return
    store, rank, count = next(rendezvous("env://"))
    store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count)


def launch() -> str | None:
    """What tells one torchrun from all others, the same when it starts its processes again; None without one.

    Of the process of rank 0: torchrun is its parent.
    """
    if not dist.is_torchelastic_launched():
        return None
    return f"{os.environ['TORCHELASTIC_RUN_ID']} of process {os.getppid()} on {socket.gethostname()}"


def restarted() -> bool:
    """Whether torchrun starts its processes again, after one of them has ended with an error."""
    return dist.is_torchelastic_launched() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def check_folder_is_named(out: Any) -> None:
    """Raise ValueError if torchrun may start its processes again, which would then look for the run in vain."""
    most = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") if dist.is_torchelastic_launched() else "0"
    if out is None and most != "0":
        raise ValueError(
            f"torchrun may start this training again (--max-restarts {most}); name its folder by --out DIR, so that "
            "it is found then"
        )
