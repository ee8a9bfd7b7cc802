from __future__ import annotations

import multiprocessing
import os
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ddmi_diffusion.data_order import BatchShare, DataOrder, StepLoader, with_random, workers_to_feed
from ddmi_diffusion.randomness import StepRandom


def collate(items: list[int], rng: StepRandom) -> tuple[Tensor, Tensor]:
    return torch.tensor(items), rng.uniform(2)


def gather(share: BatchShare, start: int, stop: int, workers: int = 0, data: Any = range(10)) -> list[Any]:
    return list(StepLoader(data, collate, share, seed=3).batches(start, stop, workers))


def test_every_epoch_holds_every_item_once_in_its_own_order() -> None:
    order = DataOrder(10, 4, seed=0)
    stream = [i for step in range(10) for i in order.indices(step, range(4))]
    epochs = [stream[k : k + 10] for k in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert DataOrder(10, 4, seed=0).indices(7, range(4)) == stream[28:32]
    assert order.indices(0, range(4)) == stream[:4]  # also after the epoch has left the cache


def test_a_batch_may_span_many_epochs_of_a_tiny_data_set() -> None:
    assert sorted(DataOrder(2, 9, seed=0).indices(0, range(8))) == [0] * 4 + [1] * 4


@pytest.mark.parametrize("processes", [1, 2, 4, 5, 8, 16])
@pytest.mark.parametrize(("batch", "parts"), [(20, 5), (25, 5), (16, 1), (17, 3)])
def test_any_number_of_processes_shares_a_batch_about_evenly(batch: int, parts: int, processes: int) -> None:
    shares = [BatchShare.of_process(batch, parts, processes, rank) for rank in range(processes)]
    micros = [share.positions(micro) for share in shares for micro in range(share.accumulate)]
    assert sorted(position for micro in micros for position in micro) == list(range(batch))
    assert len(micros) >= parts, "each fits a device that takes a part"
    assert {len(micro) for micro in micros} <= {batch // len(micros), batch // len(micros) + 1}


def test_a_batch_that_cannot_be_split_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="make it 9 or more, or take fewer"):
        BatchShare(batch_size=8, accumulate=3, processes=3)


def test_empty_data_is_refused() -> None:
    with pytest.raises(ValueError, match="data set is empty"):
        StepLoader([], collate, BatchShare(batch_size=2), seed=0)


def test_loading_starts_anywhere_and_leaves_the_global_generator_alone() -> None:
    share = BatchShare(batch_size=4, accumulate=2)
    before = torch.get_rng_state()
    whole = gather(share, 0, 5)
    assert torch.equal(before, torch.get_rng_state())
    for (items, noise), (items_later, noise_later) in zip(whole[6:], gather(share, 3, 5), strict=True):
        assert torch.equal(items, items_later)
        assert torch.equal(noise, noise_later)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads
def test_worker_processes_load_the_same() -> None:
    share = BatchShare(batch_size=4)
    for one, two in zip(gather(share, 1, 4), gather(share, 1, 4, workers=1), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


class Unreadable(Dataset[int]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> int:
        raise ValueError(f"item {i} cannot be read; remove it")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_errors_are_the_data_set_s_own_whichever_process_reads(workers: int) -> None:
    with pytest.raises(ValueError, match=r"^item \d cannot be read; remove it$") as raised:
        gather(BatchShare(batch_size=4), 0, 2, workers=workers, data=Unreadable())
    assert "ddmi" in str(raised.traceback[-1].path)
    assert workers == 0 or "in __getitem__" in str(raised.value.__cause__)


def test_processes_and_micro_batches_load_the_parts_of_one_batch() -> None:
    whole = gather(BatchShare(batch_size=8), 2, 3)[0]
    parts = [gather(BatchShare(batch_size=8, accumulate=2, processes=2, rank=r), 2, 3) for r in (0, 1)]
    ordered = [parts[0][0], parts[1][0], parts[0][1], parts[1][1]]
    for k in (0, 1):
        assert torch.equal(whole[k], torch.cat([part[k] for part in ordered]))


@pytest.mark.parametrize(
    ("cores", "devices", "processes", "wanted"),
    [(16, 1, 1, 8), (16, 8, 8, 1), (4, 1, 1, 3), (1, 1, 1, 0), (64, 8, 16, 7)],
)
def test_a_gpu_is_fed_by_the_cores_that_are_left(
    cores: int, devices: int, processes: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "fork")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    assert workers_to_feed(torch.device("cuda"), processes) == wanted
    assert workers_to_feed(torch.device("cpu"), processes) == 0, "its cores are busy with the steps"
    assert workers_to_feed(torch.device("mps"), processes) == 0
    assert workers_to_feed(torch.device("cuda"), processes, {"on": torch.empty(1, device="meta")}) == 0
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    assert workers_to_feed(torch.device("cuda"), processes) == 0, "not every script and data set can be sent"


def test_batches_for_a_gpu_lie_in_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 1000)
    items = [torch.tensor(float(i)) for i in range(4)]
    loader = StepLoader(items, with_random(None), BatchShare(batch_size=4), seed=0)
    (plain,), (pinned,) = loader.batches(0, 1), loader.batches(0, 1, pinned=True)
    assert torch.equal(pinned, plain + 1000)
    sparse = torch.eye(3).to_sparse()
    (batch,) = StepLoader([sparse], lambda items, rng: items[0], BatchShare(batch_size=1), 0).batches(0, 1, pinned=True)
    assert batch.is_sparse, "what cannot be pinned is left as it is"
