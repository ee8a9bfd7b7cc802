"""What is measured of a video model, on a model whose answers are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut
from ddmi_modalities.metrics.clip_features import FrameAndMotionFeatures
from ddmi_modalities.metrics.features import extract
from ddmi_modalities.metrics.i3d import I3DFeatures
from ddmi_modalities.metrics.pairs import psnr
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video.evaluation import VideoEvaluation, between_frames, evaluate_videos, reconstruction_quality
from ddmi_modalities.video.fvd import FVDSettings, measure_fvd


class Playback(ReadOut):
    """Says what the clips show at (x, y, t): a perfect model of the item that its function carries."""

    def __init__(self, modality: VideoModality, still: bool) -> None:
        super().__init__()
        self.modality, self.still = modality, still

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        data, frames = self.modality.dataset("test"), self.modality.frames
        values = []
        for number, points in zip(embeddings[0][:, 0, 0].round().int().tolist(), coords, strict=True):
            size = self.modality.size
            times = (points[:, 2] * frames + frames - 1) / 2
            times = torch.zeros_like(times) if self.still else times
            columns, rows = (((points[:, :2] + 1) * size - 1) / 2).round().long().T
            shown = data[number].points(times, rows * size + columns, size).float()
            values.append((shown + 0.25) / 127.5 - 1)  # the same byte whether it is rounded or cut off
        return torch.stack(values)


class Oracle:
    """Reconstructs held-out clips exactly, or as their first frame; samples them in turn."""

    can_sample, can_prompt = True, False

    def __init__(self, modality: VideoModality, still: bool = False) -> None:
        self.modality, self.still = modality, still
        self.asked: list[Tensor] = []

    def function(self, numbers: Sequence[int]) -> ImplicitFunction:
        layout = PlaneLayout.video()
        plane = torch.tensor(list(numbers), dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2)
        fields = [[plane, torch.zeros_like(plane), torch.zeros_like(plane)]]
        return ImplicitFunction(BasisField(layout, fields), Playback(self.modality, self.still))

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        data = self.modality.dataset("test")
        known = self.modality.inputs([data[i] for i in range(len(data))])[0]
        return self.function([int((known - one).abs().sum((1, 2, 3, 4)).argmin()) for one in inputs[0]])

    def sample(self, count: int, *, seed: int, start: int = 0, **_: object) -> ImplicitFunction:
        held_out = len(self.modality.dataset("test"))
        return self.function([i % held_out for i in range(start, start + count)])

    def prior(self, count: int, *, seed: int, start: int = 0) -> ImplicitFunction:
        return self.function([0] * count)


@pytest.fixture(scope="module")
def modality(tmp_path_factory: pytest.TempPathFactory) -> VideoModality:
    return VideoModality(frames=4, size=16, items=6, cache=tmp_path_factory.mktemp("rasters"))


def test_a_perfect_model_is_perfect(modality: VideoModality) -> None:
    items = [modality.dataset("test")[i] for i in range(3)]
    result = reconstruction_quality(modality, Oracle(modality), items)
    assert result["psnr"] > 50
    assert result["ssim"] == pytest.approx(1, abs=1e-3)
    clips = torch.stack([item.frames(torch.arange(4.0), 16) for item in items])
    still = clips.double().mean(1, keepdim=True).round().to(torch.uint8).expand_as(clips)
    assert result["psnr/mean_frame"] == pytest.approx(
        psnr(still.flatten(0, 1), clips.flatten(0, 1)).mean().item(), 1e-4
    )


def test_between_frames_blending_is_worse_than_the_truth(modality: VideoModality) -> None:
    items = [modality.dataset("test")[i] for i in range(2)]
    result = between_frames(modality, Oracle(modality), items, 4)
    assert set(result) == {"psnr/4x", "psnr_blend/4x"}
    assert result["psnr/4x"] > 45
    # an independent way: the blends of the true frames, frame by frame
    values = []
    for item in items:
        frames = item.frames(torch.arange(4.0), 16).double()
        for k in range(3):
            for j in (1, 2, 3):
                blend = ((1 - j / 4) * frames[k] + j / 4 * frames[k + 1]).round().to(torch.uint8)
                true = item.frames(torch.tensor([k + j / 4]), 16)
                values.append(psnr(blend[None], true).item())
    assert result["psnr_blend/4x"] == pytest.approx(sum(values) / len(values), abs=0.3)


def test_evaluation_of_everything(modality: VideoModality) -> None:
    settings = VideoEvaluation(count=4, pairs=2, rates=(2,))
    result = evaluate_videos(modality, Oracle(modality), settings).metrics
    wanted = {"psnr", "psnr/mean_frame", "ssim", "psnr/2x", "psnr_blend/2x", "count/pairs", "count/frechet"}
    assert wanted | {f"fd/{side}" for side in ("real", "reconstructions", "samples", "prior")} <= set(result)
    assert result["fd/reconstructions"] < 0.01 * result["fd/real"]
    assert result["fd/prior"] > result["fd/samples"]


def test_features_see_order_and_motion() -> None:
    network = FrameAndMotionFeatures(looks=8, size=64)
    torch.manual_seed(0)
    clip = torch.zeros(1, 5, 3, 16, 16, dtype=torch.uint8)
    for frame in range(5):
        clip[0, frame, :, 4:8, 2 * frame : 2 * frame + 4] = 255
    shuffled = clip[:, [3, 0, 4, 1, 2]]
    one, other = extract(network, [torch.cat((clip, shuffled))]).split(1)
    assert one.shape == (1, 2560)
    assert torch.allclose(one[:, :1280], other[:, :1280], atol=1e-4)
    assert (one[:, 1280:] - other[:, 1280:]).abs().max() > 0.1
    with pytest.raises(ValueError, match="a clip needs two frames at least, got 1"):
        network(clip[:, :1])
    with pytest.raises(ValueError, match="there is nothing to have features of"):
        extract(network, [])


class TinyI3D(nn.Module):
    """The calling convention of StyleGAN-V's detector."""

    def forward(self, x: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        x = x / 127.5 - 1 if rescale else x
        return torch.stack((x.mean((1, 2, 3, 4)), x.std((1, 2, 3, 4)), torch.tensor([float(resize)]).expand(len(x))), 1)


class TinyLogits(nn.Module):
    """Keeps the size and the range that it was given."""

    def forward(self, x: Tensor) -> Tensor:
        size = torch.tensor([float(x.shape[2]), float(x.shape[3]), float(x.shape[4])]).expand(len(x), 3)
        looks = [x.amin((1, 2, 3, 4)), x.amax((1, 2, 3, 4)), x[:, :, 3].mean((1, 2, 3))]
        return torch.cat((size, torch.stack(looks, dim=1)), dim=1)


def saved(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_i3d_is_called_as_its_protocol_says(tmp_path: Path, said: list[str]) -> None:
    path = saved(TinyI3D(), tmp_path / "i3d.pt")
    clips = torch.randint(256, (2, 16, 3, 12, 20), dtype=torch.uint8)
    features = I3DFeatures(path)(clips)
    values = clips.float() / 127.5 - 1
    torch.testing.assert_close(features[:, 0], values.mean((1, 2, 3, 4)))
    assert features[:, 2].tolist() == [1.0, 1.0]
    assert any(hashlib.sha256(path.read_bytes()).hexdigest() in message for message in said)
    logits = I3DFeatures(saved(TinyLogits(), tmp_path / "logits.pt"), "logits")(clips)
    assert logits[0, :3].tolist() == [16.0, 224.0, 224.0]
    assert logits[:, 3].min() >= -1
    assert logits[:, 4].max() <= 1


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_what_i3d_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"FVD \(stylegan-v\): cannot read weights .*none\.pt'.*get i3d_torchscript\.pt"
    ):
        I3DFeatures(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no module")
    with pytest.raises(ValueError, match=r"text\.pt' is no TorchScript"):
        I3DFeatures(tmp_path / "text.pt")
    with pytest.raises(ValueError, match="there is no protocol 'x'; choose 'stylegan-v' or 'logits'"):
        I3DFeatures(tmp_path / "text.pt", "x")
    path = saved(TinyLogits(), tmp_path / "logits.pt")
    with pytest.raises(ValueError, match="does not fit the protocol 'stylegan-v'"):
        I3DFeatures(path)(torch.zeros(1, 16, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_fvd_counts_and_sides(modality: VideoModality, tmp_path: Path, said: list[str]) -> None:
    path = saved(TinyI3D(), tmp_path / "i3d.pt")
    long = replace(modality, frames=16)
    made = Oracle(long)  # it samples held-out clips
    with_training = measure_fvd(long, made, FVDSettings(weights=path, count=6), how="stylegan-v")
    assert with_training.metrics["count/fvd"] == 6
    assert with_training.conditions["sha256_weights"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any("there are" in message for message in said)
    many = measure_fvd(long, made, FVDSettings(weights=path), how="stylegan-v")
    assert many.metrics == with_training.metrics
    assert any("there are 6 real clips" in message for message in said)
    logits = saved(TinyLogits(), tmp_path / "logits.pt")
    held_out = measure_fvd(long, made, FVDSettings(weights=logits), how="logits").metrics
    assert held_out["count/fvd"] == len(long.dataset("test"))
    assert held_out["fvd"] < 1e-9  # the very same clips on both sides
    assert with_training.metrics["fvd"] > 1e-6  # others
    with pytest.raises(ValueError, match="its clips have 16 frames, those of this run 4"):
        measure_fvd(modality, Oracle(modality), FVDSettings(weights=path), how="stylegan-v")
    with pytest.raises(ValueError, match=r"give --weights FILE with a TorchScript"):
        measure_fvd(long, made, FVDSettings(), how="logits")


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_offline_distances_take_i3d_where_it_is_given(modality: VideoModality, tmp_path: Path) -> None:
    path = saved(TinyI3D(), tmp_path / "i3d.pt")
    settings = VideoEvaluation(count=4, pairs=1, rates=(), weights=path)
    result = evaluate_videos(modality, Oracle(modality), settings).metrics
    assert result["fd/reconstructions"] < 1e-6 < result["fd/real"] < 10, "three features, not 2560"


def test_settings_messages() -> None:
    with pytest.raises(ValueError, match="a covariance needs 2 clips a side"):
        VideoEvaluation(count=1)
    with pytest.raises(ValueError, match=r"multiples of the frame rate from 2, got \(1,\)"):
        VideoEvaluation(rates=(1,))
    with pytest.raises(ValueError, match="a covariance needs 2 clips a side, got count 1"):
        FVDSettings(count=1)
