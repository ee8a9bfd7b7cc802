from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def _untyped() -> Iterator[None]:
    """Without the type checks of the test suite, as users run: it is our own check that must refuse the value."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
