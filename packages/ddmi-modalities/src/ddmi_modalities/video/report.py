"""The pictures and clips that show what a video model has learnt."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.album import Album
from ddmi_modalities.files.sheets import comparison, contact_sheet
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.modality import VideoModality
from ddmi_modalities.video.view import VideoRenderOptions

FPS = 8.0
LINES, FRAMES = 4, 8
"""Held-out clips of the comparison, and the frames of each."""
SLOWER = 4
"""Frames between two native ones, and one, of the sample that is shown in slow motion."""
TILE = 96


def report_videos(modality: VideoModality, model: FunctionSource, album: Album, seed: int = 0) -> None:
    """Reconstructions of held-out clips beside the truth; with stage 2 samples, one of them in slow motion."""
    held_out = modality.dataset("test")
    items = [held_out[i] for i in evenly_spaced(len(held_out), 8)]
    fine = VideoRenderOptions(resolution=2 * modality.size)
    functions = model.reconstruct(modality.inputs(items))
    true, made = modality.truth(items, fine).clips, modality.render(functions, fine).clips
    chosen = torch.linspace(0, modality.frames - 1, min(FRAMES, modality.frames)).round().long()
    rows = {}
    for number in range(min(LINES, len(items))):
        rows[f"true {number}"], rows[f"DDMI {number}"] = true[number, chosen], made[number, chosen]
    album.picture("reconstructions.png", comparison(rows, tile=TILE))
    # truth above, reconstruction below
    album.gif("reconstructions.gif", _wall(torch.cat((true, made)), len(items)), FPS)
    if all(item.continuous for item in items):
        album.picture("between.png", _between(modality, functions, items[0]))
    if not model.can_sample:
        return
    samples = model.sample(24, seed=seed)
    clips = modality.render(samples, fine).clips
    sheet = contact_sheet(clips[:8, chosen].flatten(0, 1), columns=len(chosen), tile=TILE)
    album.picture("samples.png", sheet)
    album.gif("samples.gif", _wall(clips, 8), FPS)
    slow = VideoRenderOptions(frames=SLOWER * modality.frames, resolution=4 * modality.size)
    album.gif("slow_motion.gif", _wall(modality.render(samples[0], slow).clips, 1), 2 * FPS)
    times = torch.arange(2 * SLOWER + 1) / SLOWER
    strip = modality.frames_at(samples[0], times, 4 * modality.size)[0]
    labels = [f"frame {time:g}" for time in times.tolist()]
    album.picture("slow_motion.png", contact_sheet(strip, columns=len(strip), tile=TILE, labels=labels))


def _between(modality: VideoModality, functions: ImplicitFunction, item: ClipItem) -> Image.Image:
    """The steps from one native frame over the next to the third, of the truth, the model, and blends of its frames."""
    first = modality.frames // 2 - 1
    times = first + torch.arange(2 * SLOWER + 1) / SLOWER
    size = 2 * modality.size
    made = modality.frames_at(functions[0], times, size)[0]
    own = made[::SLOWER].float()
    parts = ((times - first) % 1)[:-1, None, None, None]
    start = ((times - first)[:-1]).long()
    blend = torch.lerp(own[start], own[start + 1], parts).round().to(torch.uint8)
    rows = {"true": item.frames(times, size), "DDMI": made, "blended": torch.cat((blend, made[-1:]))}
    return comparison(rows, tile=TILE)


def _wall(clips: UInt8[Tensor, "batch frame 3 rows columns"], columns: int) -> list[UInt8[Tensor, "3 _ _"]]:
    """Clips side by side, `columns` a line, frame by frame."""
    return [
        torch.cat([torch.cat(list(line), dim=-1) for line in frame.split(columns)], dim=-2) for frame in clips.unbind(1)
    ]
