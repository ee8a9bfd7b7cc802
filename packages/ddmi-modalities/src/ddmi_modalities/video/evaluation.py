"""How good a trained video model is: its frames, those between them, and Frechet distances of what it generates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.image.frechet import frechet_distance
from ddmi_modalities.image.metrics import SSIM_WINDOW, psnr, ssim
from ddmi_modalities.image.set_distances import distances_to_held_out, spread
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.video.evaluation_settings import VideoEvaluation
from ddmi_modalities.video.features import FrameAndMotionFeatures, extract
from ddmi_modalities.video.fvd import FRAMES, I3DFeatures
from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.modality import VideoModality
from ddmi_modalities.video.stored_clips import StoredClips
from ddmi_modalities.video.view import VideoArtefact, VideoView

CHUNK = 16
Note = Callable[[str], None]


def evaluate_videos(
    modality: VideoModality,
    model: FunctionSource,
    settings: VideoEvaluation,
    *,
    seed: int = 0,
    note: Note = lambda _: None,
) -> dict[str, float]:
    """PSNR in dB and SSIM of held-out clips' frames, and of frames between them; Frechet distances between sets.

    All Frechet distances are to the same held-out clips, at the encoder's size: of training clips (`fd/real`), of the
    held-out clips' reconstructions, of samples, and of decoded draws from the prior.  See `reconstruction_quality`,
    `between_frames` and `fvd`.
    """
    held_out, training = modality.dataset("test"), modality.dataset("train")
    items = [held_out[i] for i in spread(len(held_out), settings.pairs)]
    note(f"reconstructions of {len(items)} held-out clips")
    result = reconstruction_quality(modality, model, items)
    if all(item.continuous for item in items):
        for rate in settings.rates:
            note(f"in-between frames at {rate} times the frame rate")
            result |= between_frames(modality, model, items, rate)
    count = min(settings.count, len(held_out), len(training))
    result |= {"count/pairs": len(items), "count/frechet": count, "size/frechet": modality.size}
    if count >= 2:  # a covariance needs two
        network, view = FrameAndMotionFeatures(), VideoView(resolution=modality.size)
        result |= distances_to_held_out(
            model,
            held_out,
            training,
            count,
            inputs=modality.inputs,
            truth=lambda items: modality.truth(items, view).clips,
            render=lambda functions: modality.render(functions, view).clips,
            features=partial(extract, network),
            chunk=CHUNK,
            seed=seed,
            what=f"clips ({network.name})",
            note=note,
        )
    if settings.weights is not None:
        result |= fvd(modality, model, settings, seed, note)
    return result


def reconstruction_quality(
    modality: VideoModality, model: FunctionSource, items: Sequence[ClipItem]
) -> dict[str, float]:
    """PSNR and SSIM of reconstructed frames; `psnr/mean_frame` repeats the true clip's mean frame instead."""
    view = VideoView(resolution=modality.size)
    rows = []
    for group in _groups(items):
        true = modality.truth(group, view).clips
        made = modality.render(model.reconstruct(modality.inputs(group)), view).clips
        still = true.float().mean(1, keepdim=True).round().to(torch.uint8).expand_as(true)
        values = [_psnr(made, true), _psnr(still, true)]
        if modality.size >= SSIM_WINDOW:
            values.append(ssim(made.flatten(0, 1), true.flatten(0, 1)))
        rows.append(torch.stack(values))
    means = torch.cat(rows, dim=1).mean(1).tolist()
    return dict(zip(("psnr", "psnr/mean_frame", "ssim"), means, strict=False))


def between_frames(
    modality: VideoModality, model: FunctionSource, items: Sequence[ClipItem], rate: int
) -> dict[str, float]:
    """`psnr/4x`: the frames between the model's native ones at 4 times the rate, against the true ones.

    `psnr_blend/4x` blends the model's own two neighbouring native frames linearly instead.
    """
    native = torch.arange(modality.frames, dtype=torch.float32)
    parts = torch.arange(1, rate) / rate
    times = (native[:-1, None] + parts).flatten()
    rows = []
    for group in _groups(items):
        function = model.reconstruct(modality.inputs(group))
        true = torch.stack([item.frames(times, modality.size) for item in group])
        made = modality.frames_at(function, times, modality.size)
        own = modality.frames_at(function, native, modality.size).float()
        weights = parts[:, None, None, None]
        blend = torch.lerp(own[:, :-1, None], own[:, 1:, None], weights).flatten(1, 2).round().to(torch.uint8)
        rows.append(torch.stack((_psnr(made, true), _psnr(blend, true))))
    made_psnr, blend_psnr = torch.cat(rows, dim=1).mean(1).tolist()
    return {f"psnr/{rate}x": made_psnr, f"psnr_blend/{rate}x": blend_psnr}


def fvd(
    modality: VideoModality,
    model: FunctionSource,
    settings: VideoEvaluation,
    seed: int = 0,
    note: Note = lambda _: None,
) -> dict[str, float]:
    """The Frechet video distance of as many generated clips as real ones, at most `fvd_count`.

    Both protocols take clips of 16 consecutive frames as uint8.  "stylegan-v" compares with the training data, one
    random clip of each video; "logits" with the held-out data, and makes bytes of the generated values by truncation,
    as the evaluation of DDMI's authors does.
    """
    assert settings.weights is not None
    if modality.frames != FRAMES:
        raise ValueError(f"FVD: its clips have {FRAMES} frames, those of this run {modality.frames}")
    if not model.can_sample:
        raise ValueError("FVD: this run has no second stage to sample from; train it with --stage diffusion --resume")
    network = I3DFeatures(settings.weights, settings.fvd)
    real: DataSet[ClipItem] = modality.dataset("train" if settings.fvd == "stylegan-v" else "test")
    if isinstance(real, StoredClips) and settings.fvd == "stylegan-v":
        real = real.one_a_video(seed)
    count = min(settings.fvd_count, len(real))
    if count < settings.fvd_count:
        note(f"FVD: there are {count} real clips, so both sides have {count}; scores of other counts differ")
    chosen = [real[i] for i in spread(len(real), count)]
    view = VideoView(resolution=modality.size)

    def made() -> Iterator[Tensor]:
        for start in range(0, count, CHUNK):
            functions = model.sample(min(CHUNK, count - start), seed=seed, start=start)
            yield (_truncated if settings.fvd == "logits" else modality.render)(functions, view).clips

    def _truncated(functions: ImplicitFunction, view: VideoView) -> VideoArtefact:
        with torch.no_grad():
            values = functions.grid((modality.frames, *view.size)).clamp(-1, 1)
        return VideoArtefact(((values + 1) * 127.5).to(torch.uint8).transpose(1, 2))

    note(f"features of {count} clips a side ({network.name})")
    reference = extract(network, (modality.truth(group, view).clips for group in _groups(chosen)))
    return {"fvd": frechet_distance(extract(network, made()), reference), "count/fvd": count}


def _groups(items: Sequence[ClipItem]) -> Iterator[Sequence[ClipItem]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _psnr(
    made: UInt8[Tensor, "batch frame 3 rows columns"], true: UInt8[Tensor, "batch frame 3 rows columns"]
) -> Float[Tensor, " frames"]:
    """Of each frame."""
    return psnr(made.flatten(0, 1), true.flatten(0, 1))
