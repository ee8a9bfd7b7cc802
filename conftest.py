"""Where several processes run tests, each has one thread: two that share two cores collapse."""

from __future__ import annotations

import importlib.util
import os

import pytest

collect_ignore = [] if importlib.util.find_spec("playwright") else ["tests/browser"]
"""Tests of `nox -s browser`, which installs what drives a browser."""


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start, too
        import torch

        torch.set_num_threads(1)
