"""`ddmi import-reference`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ddmi.commands.line import no_more

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class ImportReference:
    """Turn a checkpoint of the reference implementation into a model; no code in it is run."""

    checkpoint: Positional[Path]
    """model-*.pt (stage 1) or ldm-*.pt (stage 2)."""
    config: Path
    """The YAML file that it was trained with."""
    out: Path
    """Directory to write to; it may hold stage 1 of the same configuration, to which stage 2 is added."""
    vae: Path | None = None
    """Of stage 2: the checkpoint of stage 1, where that of stage 2 does not hold it."""
    raw: bool = False
    """Of stage 2: the weights of the last step instead of their moving average."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.importing.reference import import_reference

        no_more(rest)
        import_reference(self.checkpoint, self.config, self.out, vae=self.vae, raw=self.raw)
        logger.info("wrote %s: load it with `DDMI.from_pretrained`", self.out)
