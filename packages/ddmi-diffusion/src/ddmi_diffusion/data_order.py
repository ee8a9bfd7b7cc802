"""Which item of the data set stands where in which batch: a function of the step, so a run resumes anywhere."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from ddmi_diffusion.device_transfer import map_tensors
from ddmi_diffusion.randomness import StepRandom, mix_seed

_ORDER = 5  # kind of stream, beside those of randomness.py
DATA_STREAM = 0
"""`StepRandom` stream of collate; the trainer's objectives use others, so noise never repeats the augmentation."""

Collate = Callable[[list[Any], StepRandom], Any]
"""Items to a batch; what is random in it comes from the second argument."""
PlainCollate = Callable[[list[Any]], Any]
"""As torch's own loaders take it."""


@runtime_checkable
class Items(Sized, Protocol):
    """A map-style data set: a length and items by index."""

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class _Plain:
    """A collate function that draws nothing."""

    collate: PlainCollate

    def __call__(self, items: list[Any], rng: StepRandom) -> Any:
        return self.collate(items)


def with_random(collate: Collate | PlainCollate | None) -> Collate:
    """Any collate function as one that is given what to draw from; None: torch's default."""
    if collate is None:
        return _Plain(default_collate)
    try:
        inspect.signature(collate).bind([], None)
    except TypeError:
        return _Plain(collate)  # type: ignore[arg-type]
    except ValueError:  # of C: no signature
        pass
    return collate  # type: ignore[return-value]


class DataOrder:
    """Every epoch visits every item once, in an order of its own; a batch may span the end of an epoch.

    Examples:
        >>> order = DataOrder(length=6, batch_size=3, seed=0)
        >>> epoch = order.indices(0, [0, 1, 2]) + order.indices(1, [0, 1, 2])  # positions in the first two batches
        >>> sorted(epoch)
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        """`length` items, `batch_size` of them in a step of the whole run. Raises ValueError where either is < 1."""
        if length < 1:
            raise ValueError("DataOrder: the data set is empty; check the path and the split it was built from")
        if batch_size < 1:
            raise ValueError(f"DataOrder: batch_size must be at least 1, got {batch_size}")
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self._permutations: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}

    def indices(self, step: int, positions: Sequence[int]) -> list[int]:
        """The items at these positions of the global batch of `step`."""
        result = []
        for position in positions:
            epoch, place = divmod(step * self.batch_size + position, self.length)
            result.append(int(self._permutation(epoch)[place]))
        return result

    def _permutation(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        if epoch not in self._permutations:
            while len(self._permutations) > 1:  # a batch straddles two epochs at most, unless the data set is tiny
                self._permutations.pop(next(iter(self._permutations)))
            generator = np.random.default_rng(mix_seed(_ORDER, self.seed, epoch))
            self._permutations[epoch] = generator.permutation(self.length)
        return self._permutations[epoch]


@dataclass(frozen=True, kw_only=True)
class BatchShare:
    """Which positions of the global batch a process handles, and in how many micro-batches."""

    batch_size: int
    """Items of a step, over all processes and micro-batches."""
    accumulate: int = 1
    """Micro-batches of a step in each process."""
    processes: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        parts = self.accumulate * self.processes
        if self.batch_size < parts:
            raise ValueError(
                f"batch_size {self.batch_size} is less than {self.processes} process(es) x {self.accumulate} "
                f"micro-batch(es), which would have nothing to do; make it {parts} or more, or take fewer of them"
            )

    @classmethod
    def of_process(cls, batch_size: int, parts: int, processes: int, rank: int) -> BatchShare:
        """The share of a process where a batch is split into at least so many parts, as equal as they can be."""
        return cls(batch_size=batch_size, accumulate=-(-parts // processes), processes=processes, rank=rank)

    def positions(self, micro: int) -> range:
        """Positions of micro-batch `micro` of this process: contiguous, and disjoint from all others of the step."""
        part, parts = micro * self.processes + self.rank, self.accumulate * self.processes
        return range(self.batch_size * part // parts, self.batch_size * (part + 1) // parts)


class StepLoader(Dataset[Any]):
    """The micro-batches of one process as a map-style data set: number k is micro-batch k % accumulate of step
    k // accumulate. Being indexed by the step, it starts anywhere and needs no state of its own."""

    def __init__(self, dataset: Items, collate: Collate, share: BatchShare, seed: int) -> None:
        """Raises ValueError for an empty data set."""
        self.dataset, self.collate, self.share, self.seed = dataset, collate, share, seed
        self.order = DataOrder(len(dataset), share.batch_size, seed)

    def __getitem__(self, k: int) -> Any:
        step, micro = divmod(k, self.share.accumulate)
        positions = self.share.positions(micro)
        items = [self.dataset[i] for i in self.order.indices(step, positions)]
        return self.collate(items, StepRandom(self.seed, step, positions, stream=DATA_STREAM))

    def batches(self, start: int, stop: int, num_workers: int = 0, *, pinned: bool = False) -> Iterator[Any]:
        """Batches of steps [start, stop), in order, prepared by `num_workers` processes (0: this one).

        `pinned`: in memory from which a GPU takes them without anyone waiting.
        Raises what the data set raises, whichever process read it.
        """
        loader: DataLoader[Any] = DataLoader(
            _Told(self) if num_workers else self,
            batch_size=None,
            sampler=range(start * self.share.accumulate, stop * self.share.accumulate),
            num_workers=num_workers,
            worker_init_fn=_leave_signals_to_parent,
            generator=torch.Generator().manual_seed(0),  # else making the iterator would draw from the global one
        )
        for batch in loader:
            if isinstance(batch, _Raised):
                raise batch.error from RuntimeError(f"in a worker process:\n{batch.trace}")
            yield map_tensors(_pinned, batch) if pinned else batch


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if tensor.device.type == "cpu" and tensor.layout == torch.strided else tensor


def workers_to_feed(device: torch.device, processes: int, item: Any = None) -> int:
    """Processes that prepare batches for one of `processes` that train, each with a device like this one.

    None where the cores are busy with the steps themselves, where a process is not simply a copy of this one, which
    not every script and data set takes, and where an item of the data set lies on a device already.
    """
    if device.type != "cuda" or multiprocessing.get_start_method() != "fork":
        return 0
    places: set[str] = set()

    def note(tensor: Tensor) -> Tensor:
        places.add(tensor.device.type)
        return tensor

    map_tensors(note, item)
    if places - {"cpu"}:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = min(processes, max(1, torch.cuda.device_count()))
    return max(0, min(8, cores // here - 1))


@dataclass(frozen=True)
class _Raised:
    """An exception on its way to the training process: torch's own would arrive as the text of a traceback."""

    error: Exception
    trace: str


class _Told(Dataset[Any]):
    """A data set that returns what it would raise."""

    def __init__(self, data: Dataset[Any]) -> None:
        self.data = data

    def __getitem__(self, k: int) -> Any:
        try:
            return self.data[k]
        except Exception as error:
            return _Raised(error, traceback.format_exc())


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and batch systems signal every process of a run. Workers must outlive that, for the parent finishes its
    step before it stops; but they must obey the SIGTERM by which the parent itself ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # tells the sender; not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_only_parent, args=(os.getppid(),), daemon=True).start()


def _obey_only_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
