"""One thing at a time, and nothing for those who have gone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ddmi.explorer.desk import Desk, Left
from ddmi_modalities.progress import progress


async def here() -> bool:
    return False


async def gone() -> bool:
    return True


def test_one_at_a_time_in_order() -> None:
    active, most, order = [0], [0], []

    def work(number: int) -> int:
        active[0] += 1
        most[0] = max(most[0], active[0])
        time.sleep(0.02)
        order.append(number)
        active[0] -= 1
        return number

    async def all_of_them() -> list[int]:
        desk = Desk()
        return await asyncio.gather(*(desk.answer(lambda i=i: work(i), here) for i in range(5)))  # type: ignore[misc]

    assert asyncio.run(all_of_them()) == list(range(5))
    assert (most, order) == ([1], list(range(5)))


def test_work_for_nobody_ends_at_its_next_sign_of_progress() -> None:
    done, ended = [], threading.Event()

    def work() -> None:
        try:
            for number in progress(range(1000), what="long"):
                done.append(number)
                time.sleep(0.01)
        finally:
            ended.set()

    async def leave() -> None:
        desk = Desk()
        with pytest.raises(Left):
            await desk.answer(work, gone)
        assert await desk.answer(lambda: 1, here) == 1

    asyncio.run(leave())
    assert ended.wait(5)
    assert len(done) < 100


def test_streams_tell_how_far_they_are_and_let_others_in_between() -> None:
    order = []

    def steps() -> Iterator[dict[str, Any]]:
        for number in range(3):
            for _ in progress(range(4), what="step"):
                time.sleep(0.03)
            order.append(f"step {number}")
            yield {"number": number}

    async def both() -> list[dict[str, Any]]:
        desk, found = Desk(), []
        async for event in desk.stream(steps):
            found.append(event)
            if event == {"number": 0}:
                between = asyncio.ensure_future(desk.answer(lambda: order.append("between"), here))
                await asyncio.sleep(0)
        await between
        return found

    events = asyncio.run(both())
    assert [event for event in events if "number" in event] == [{"number": number} for number in range(3)]
    told = [event for event in events if "what" in event]
    assert told
    assert all(event["what"] == "step" and 0 <= event["progress"] < 1 for event in told)
    assert order.index("between") < order.index("step 2")


def test_errors_reach_who_asked() -> None:
    def fails() -> None:
        raise ValueError("no")

    async def ask() -> None:
        desk = Desk()
        with pytest.raises(ValueError, match="no"):
            await desk.answer(fails, here)
        assert await desk.answer(lambda: 2, here) == 2

    asyncio.run(ask())
