"""Where several processes run tests, each has one thread: two that share two cores collapse."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start, too
        import torch

        torch.set_num_threads(1)
