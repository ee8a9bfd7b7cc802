"""Conversion of recorded scenes to NPZ files with points: slow work done once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ddmi_modalities.nerf.clouds import cloud_of
from ddmi_modalities.nerf.recorded import RecordedScene, RecordedScenes
from ddmi_modalities.nerf.sampled import read_sampled, write_sampled
from ddmi_modalities.nerf.sources import HOLD_OUT, open_scenes
from ddmi_modalities.splits import SPLITS


@dataclass(frozen=True, kw_only=True)
class ScenePreparation:
    """What `prepare_scenes` did."""

    written: tuple[str, ...]
    """Scenes, as split/scene."""
    kept: tuple[str, ...]
    """Scenes that an earlier run had written with the same count."""
    refused: dict[str, str]
    """Why scenes were left out, by split/scene."""


def prepare_scenes(
    source: Path | str,
    out: Path | str,
    count: int = 20_000,
    *,
    half: float = 0.5,
    scale: float = 1.0,
    hold_out: int = HOLD_OUT,
    note: Callable[[str], None] = print,
) -> ScenePreparation:
    """Convert scenes of any layout to OUT/train/sampled/*.npz and OUT/test/sampled/*.npz; goes on where it stopped.

    Points that a scene has are kept, otherwise `count` of the visual hull of all its views are made, within the cube
    of half side `half`; which ones, its name decides.  A scene appears whole or not at all; scenes that cannot be
    read are left out and reported.

    Raises:
        ValueError: There are no scenes in the source, or none can be converted, or a number is out of range.
    """
    if count < 1:
        raise ValueError(f"prepare_scenes: wanted a count of at least 1 point, got {count}; ask for more points")
    out = Path(out).expanduser()
    scenes = _by_file(str(source), scale, hold_out)
    written, kept, refused = [], [], {}
    for done, (name, listed) in enumerate(scenes.items(), 1):
        scene = replace(listed)  # what it reads is forgotten with it
        split, _, rest = name.partition("/")
        file = out / split / "sampled" / f"{rest}.npz"
        if _is_prepared(file, count, scene):
            kept.append(name)
            continue
        try:
            rng = np.random.default_rng(list(hashlib.sha256(scene.name.encode()).digest()))
            points = scene.recording.points
            write_sampled(file, scene.recording, cloud_of(scene, count, half, rng) if points is None else points)
            written.append(name)
        except ValueError as error:
            refused[name] = str(error)
        if done % 50 == 0:
            note(f"prepare_scenes: {done} of {len(scenes)} scenes")
    if refused:
        reasons = "; ".join(list(refused.values())[:5]) + (f"; and {len(refused) - 5} more" if len(refused) > 5 else "")
        note(f"prepare_scenes: left out {len(refused)} of {len(scenes)} scenes: {reasons}")
        if not written and not kept:
            raise ValueError(f"prepare_scenes: none of the {len(scenes)} scenes in {str(source)!r} is sound: {reasons}")
    return ScenePreparation(written=tuple(written), kept=tuple(kept), refused=refused)


def _by_file(source: str, scale: float, hold_out: int) -> dict[str, RecordedScene]:
    """All scenes of the source by split/scene, without what cannot be in the name of a file."""
    found: dict[str, RecordedScene] = {}
    problems = []
    for split in SPLITS:
        try:
            scenes = open_scenes(source, split, items=1, size=64, scale=scale, hold_out=hold_out)
        except ValueError as error:  # a small source may have no scene for one of the splits
            problems.append(error)
            continue
        if not isinstance(scenes, RecordedScenes):
            raise ValueError(f"prepare_scenes: {source!r} has its points already; give a folder of recorded scenes")
        for scene in scenes.scenes:
            name = f"{split}/{scene.name.replace('/', '_')}"
            if name in found:
                raise ValueError(
                    f"prepare_scenes: {str(found[name].path)!r} and {str(scene.path)!r} would both become {name!r}; "
                    "rename one"
                )
            found[name] = scene
    if not found:
        raise problems[0]
    return found


def _is_prepared(file: Path, count: int, scene: RecordedScene) -> bool:
    """Whether a sound file is there, with as many points as it would get."""
    if not file.exists():
        return False
    try:
        points = read_sampled(file, scene.hold_out).points
    except ValueError:
        return False
    return points is not None and (len(points) == count or scene.read is read_sampled)
