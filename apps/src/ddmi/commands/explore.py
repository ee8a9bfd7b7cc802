"""`ddmi explore`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import no_more

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Explore:
    """Look at functions in a browser: zoom, turn, play, sample; or write a page that needs no server (--html)."""

    runs: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(name="runs")] = ()
    """Runs, saved models, or names of installed models; none: all installed models."""
    html: Path | None = None
    """Write this file instead of serving: functions of every model, to look at without anything else."""
    seed: int = 0
    """Of the functions in that file."""
    count: int = 6
    """How many functions of each model that file shows."""
    prompts: tuple[str, ...] = ()
    """Sentences, a function each, for models of that file that take some."""
    host: str = "127.0.0.1"
    """Where to listen; elsewhere than on this machine's own address the page wants the token that is printed."""
    port: int = 8760
    """0: any that is free."""
    open: bool = False
    """Open the page in a browser."""
    device: str = "auto"
    """Where the models compute: cuda, mps or cpu; auto: the first of them that is there."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.explorer.explored import HowToSample, named
        from ddmi.machine.processes import find_device
        from ddmi.pipeline import DDMI
        from ddmi.registry import installed_models

        no_more(rest)
        runs = self.runs or tuple(Path(name) for name in installed_models())
        if not runs:
            raise ValueError("name a run or a model: `ddmi explore RUN`; no models are installed")
        device = find_device(self.device)
        loaded = [DDMI.from_pretrained(run, device=device) for run in runs]
        models = named([run.resolve().name if run.exists() else run.name for run in runs], loaded)
        if self.html is not None:
            from ddmi.explorer.offline import write_page

            write_page(list(models.values()), HowToSample(seed=self.seed, count=self.count), self.html, self.prompts)
            size = self.html.stat().st_size / 1e6
            logger.info("wrote %s, %.1f MB: open it in a browser: %s", self.html, size, self.html.resolve().as_uri())
            return
        try:
            from ddmi.explorer.server import serve
        except ImportError as error:
            raise ValueError(
                f"the explorer's server needs {error.name}: `uv pip install 'ddmi[explore]'`; --html FILE needs none"
            ) from None
        serve(models, self.host, self.port, self._opened)

    def _opened(self, address: str) -> None:
        import webbrowser

        logger.info("%s (interrupt to stop)", address)
        if self.open:
            webbrowser.open(address)
