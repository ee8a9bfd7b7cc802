"""Cached posterior moments: a memory-mapped half-precision file, so that stage 2 need not encode."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ddmi_diffusion.latent_objective import LatentBatch
from ddmi_diffusion.latent_space import PlaneShape
from ddmi_diffusion.randomness import StepRandom

Planes = tuple[Tensor, ...]


class LatentCache:
    """Posterior means and standard deviations of a data set, one row an item and view, in float16.

    `PATH` is a .npy file of (rows, 2 x elements); `PATH.json` names the key it was made for and the plane shapes.
    As a data set, item i is row i; `LatentCache.collate` makes a `LatentBatch` of rows.
    """

    def __init__(self, path: Path, key: str) -> None:
        meta_path = _meta(path)
        try:
            meta = json.loads(meta_path.read_text())
            rows = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise ValueError(f"latent cache {path}: cannot be read ({error}); delete it and train again") from error
        if meta["key"] != key:
            raise ValueError(f"latent cache {path}: made by another model (key {meta['key'][:12]}, wanted {key[:12]})")
        self.path = path
        self.plane_shapes: tuple[PlaneShape, ...] = tuple((c, h, w) for c, h, w in meta["plane_shapes"])
        self.rows = rows
        width = 2 * sum(math.prod(shape) for shape in self.plane_shapes)
        if rows.ndim != 2 or rows.shape != (meta["rows"], width):
            raise ValueError(f"latent cache {path}: holds {rows.shape}, wanted {(meta['rows'], width)}; delete it")

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def __getitem__(self, index: int) -> np.ndarray:
        return self.rows[index]

    def batch(self, rows: Sequence[np.ndarray]) -> LatentBatch:
        values = torch.from_numpy(np.stack(rows).astype(np.float32))
        mean, std = (self._planes(half) for half in values.chunk(2, dim=1))
        return LatentBatch(mean, std)

    def collate(self, rows: Sequence[np.ndarray], rng: StepRandom) -> LatentBatch:
        return self.batch(rows)

    def _planes(self, flat: Tensor) -> Planes:
        parts = flat.split([math.prod(shape) for shape in self.plane_shapes], dim=1)
        return tuple(part.unflatten(1, shape) for part, shape in zip(parts, self.plane_shapes, strict=True))

    def moments(self, batch_size: int = 256) -> Iterable[tuple[Planes, Planes]]:
        """All rows in batches of (mean, std) planes, to fit a `LatentSpace`."""
        for start in range(0, len(self), batch_size):
            batch = self.batch(list(self.rows[start : start + batch_size]))
            yield batch.mean, batch.std

    @classmethod
    def build(cls, path: Path, key: str, rows: int, batches: Iterable[tuple[Planes, Planes]]) -> LatentCache:
        """Writes the moments that `batches` yields, `rows` in all, and opens the result.

        The file gets its name when it is complete, so an interrupted build leaves no half cache.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.npy")
        out: np.memmap | None = None
        shapes: list[tuple[int, ...]] = []
        filled = 0
        limit = float(np.finfo(np.float16).max)
        try:
            for means, stds in batches:
                flat = torch.cat([plane.float().cpu().flatten(1) for plane in (*means, *stds)], dim=1)
                if out is None:
                    shapes = [tuple(mean.shape[1:]) for mean in means]
                    out = np.lib.format.open_memmap(temporary, "w+", np.float16, (rows, flat.shape[1]))
                bad = (~flat.isfinite().all(1)).nonzero().flatten().tolist()
                if bad:
                    raise ValueError(
                        f"latent cache {path}: the moments of item {filled + bad[0]} are NaN or infinite; look at that "
                        "item, or at the autoencoder's weights and precision"
                    )
                if filled + len(flat) > rows:
                    raise ValueError(f"latent cache {path}: more than the {rows} rows that were announced")
                out[filled : filled + len(flat)] = flat.clamp(-limit, limit).numpy().astype(np.float16)
                filled += len(flat)
            if out is None or filled != rows:
                raise ValueError(f"latent cache {path}: {filled} rows came, {rows} were announced")
            out.flush()
            del out
            meta = {"key": key, "rows": rows, "plane_shapes": shapes}
            temporary_meta = temporary.with_suffix(".json")
            temporary_meta.write_text(json.dumps(meta))
            os.replace(temporary, path)
            os.replace(temporary_meta, _meta(path))
        finally:
            temporary.unlink(missing_ok=True)
        return cls(path, key)

    @classmethod
    def valid(cls, path: Path, key: str) -> bool:
        """Whether a complete cache for `key` is at `path`."""
        try:
            cls(path, key)
        except (ValueError, KeyError):
            return False
        return True


def _meta(path: Path) -> Path:
    return path.with_suffix(".json")
