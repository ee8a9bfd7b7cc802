from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rasters of the tests' tiny size are made once, away from the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages of recipe openmoji, preset test."""
    from ddmi.cli import main

    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", "openmoji", "--preset", "test", "--run", str(run)]) == 0
    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As processes have that tests start: another number of threads would round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
