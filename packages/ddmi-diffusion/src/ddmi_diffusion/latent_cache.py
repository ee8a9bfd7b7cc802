"""Cached posterior moments: a memory-mapped half-precision file, so that stage 2 need not encode."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ddmi_diffusion.atomic_files import atomic_write_text, explain_write, remove_stale, replacing
from ddmi_diffusion.latent_objective import LatentBatch
from ddmi_diffusion.latent_space import PlaneShape
from ddmi_diffusion.randomness import StepRandom

Planes = tuple[Tensor, ...]


class LatentCache:
    """Posterior means and standard deviations of a data set, one row an item and view, in float16.

    `PATH` is a .npy file of (rows, 2 x elements); `PATH.json` names the key it was made for, the plane shapes and a
    sha256 of both.  As a data set, item i is row i; `LatentCache.collate` makes a `LatentBatch` of rows.

    Raises ValueError where a file cannot be read, was made for another key, or is not as it was written.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> mean, std = torch.randn(16, 4, 8, 8), torch.full((16, 4, 8, 8), 0.1)
        >>> with TemporaryDirectory() as folder:
        ...     cache = LatentCache.build(Path(folder, "latents.npy"), "any text", 16, [((mean,), (std,))])
        ...     len(cache), cache.batch([cache[0], cache[1]]).mean[0].shape
        (16, torch.Size([2, 4, 8, 8]))
    """

    def __init__(self, path: Path, key: str) -> None:
        try:
            meta = json.loads(_meta(path).read_text(encoding="utf-8"))
            known, count, checksum = meta["key"], meta["rows"], meta["sha256"]
            shapes = tuple((c, h, w) for c, h, w in meta["plane_shapes"])
            width = 2 * sum(math.prod(shape) for shape in shapes)
            if known != key:
                raise ValueError(f"made by another model (key {str(known)[:12]}, wanted {key[:12]})")
            with path.open("rb") as file:
                if _sha256(file, key, count, meta["plane_shapes"]) != checksum:
                    raise ValueError("its checksum is wrong")
            rows = np.load(path, mmap_mode="r")
            if rows.shape != (count, width) or rows.dtype != np.float16:
                raise ValueError(f"it holds {rows.dtype} {rows.shape}, wanted float16 {(count, width)}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = str(error) if isinstance(error, OSError | ValueError) else "its description is damaged"
            raise ValueError(f"latent cache {path}: {reason}; delete it and train again") from error
        self.path = path
        self.plane_shapes: tuple[PlaneShape, ...] = shapes
        self.rows = rows

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def __getitem__(self, index: int) -> np.ndarray:
        return self.rows[index]

    def batch(self, rows: Sequence[np.ndarray]) -> LatentBatch:
        return LatentBatch(*self._moments(rows))

    def _moments(self, rows: Sequence[np.ndarray]) -> tuple[Planes, Planes]:
        values = torch.from_numpy(np.stack(rows).astype(np.float32))
        mean, std = (self._planes(half) for half in values.chunk(2, dim=1))
        return mean, std

    def collate(self, rows: Sequence[np.ndarray], rng: StepRandom) -> LatentBatch:
        return self.batch(rows)

    def _planes(self, flat: Tensor) -> Planes:
        parts = flat.split([math.prod(shape) for shape in self.plane_shapes], dim=1)
        return tuple(part.unflatten(1, shape) for part, shape in zip(parts, self.plane_shapes, strict=True))

    def moments(self, batch_size: int = 256) -> Iterable[tuple[Planes, Planes]]:
        """All rows in batches of (mean, std) planes, to fit a `LatentSpace`."""
        for start in range(0, len(self), batch_size):
            yield self._moments(list(self.rows[start : start + batch_size]))

    @classmethod
    def build(cls, path: Path, key: str, rows: int, batches: Iterable[tuple[Planes, Planes]]) -> LatentCache:
        """Writes the moments that `batches` yields, `rows` in all, and opens the result.

        The file gets its name when it is complete, so an interrupted build leaves no half cache.  It is written row
        after row and never mapped meanwhile: a full disk is a CheckpointError here, and a crash at a write to a map.
        Raises ValueError for moments that are not finite, naming the item, and for another number of rows.
        """
        with explain_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(path.parent)
            with replacing(path) as temporary, temporary.open("w+b") as file:
                shapes = _write(file, path, rows, batches)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                checksum = _sha256(file, key, rows, shapes)
        meta = {"key": key, "rows": rows, "plane_shapes": shapes, "sha256": checksum}
        atomic_write_text(_meta(path), json.dumps(meta))
        return cls(path, key)

    @classmethod
    def opened(cls, path: Path, key: str) -> LatentCache | None:
        """The cache for `key` at `path`; None where there is none, or it is damaged."""
        try:
            return cls(path, key)
        except ValueError:
            return None


def _write(file: BinaryIO, path: Path, rows: int, batches: Iterable[tuple[Planes, Planes]]) -> list[tuple[int, ...]]:
    """Header and rows of a .npy file; returns the shapes of the planes of a row."""
    limit = float(np.finfo(np.float16).max)
    shapes: list[tuple[int, ...]] = []
    filled = 0
    for means, stds in batches:
        flat = torch.cat([plane.float().cpu().flatten(1) for plane in (*means, *stds)], dim=1)
        if not shapes:
            shapes = [tuple(mean.shape[1:]) for mean in means]
            header = dict(descr="<f2", fortran_order=False, shape=(rows, flat.shape[1]))
            np.lib.format.write_array_header_1_0(file, header)
        bad = (~flat.isfinite().all(1)).nonzero().flatten().tolist()
        if bad:
            raise ValueError(
                f"latent cache {path}: the moments of item {filled + bad[0]} are NaN or infinite; look at that "
                "item, or at the autoencoder's weights and precision"
            )
        if filled + len(flat) > rows:
            raise ValueError(f"latent cache {path}: more than the {rows} rows that were announced")
        file.write(flat.clamp(-limit, limit).numpy().astype("<f2").tobytes())
        filled += len(flat)
    if not shapes or filled != rows:
        raise ValueError(f"latent cache {path}: {filled} rows came, {rows} were announced")
    return shapes


def _sha256(file: Any, *described: object) -> str:
    """Of a file from where it stands, and of what is said of it."""
    return hashlib.file_digest(file, lambda: hashlib.sha256(json.dumps(described).encode())).hexdigest()


def _meta(path: Path) -> Path:
    return path.with_suffix(".json")
