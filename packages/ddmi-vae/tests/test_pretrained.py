"""Autoencoders in folders: what is written is read again, and what is not sound is refused by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ddmi_fields import CoarseToFineReadOutConfig, ConcatReadOutConfig, PlaneLayout
from ddmi_vae import D2CVAE, EncoderConfig, PlaneDecoderConfig, PlaneEncoderConfig, VAEConfig, pretrained

SIZES: dict[str, Any] = dict(width=8, multipliers=(1, 2), blocks=1, groups=4)


@dataclass(frozen=True, kw_only=True)
class TwiceConfig(EncoderConfig):
    """An encoder of somebody else's, around ours."""

    factor: float = 2.0
    planes: PlaneEncoderConfig

    def build(self, layout: PlaneLayout, latent_channels: int) -> nn.Module:
        return self.planes.build(layout, latent_channels)


IMAGE = VAEConfig(
    encoder=PlaneEncoderConfig(**SIZES),
    decoder=PlaneDecoderConfig(channels=6, scales=2, **SIZES),
    read_out=CoarseToFineReadOutConfig(width=16, native=8),
    latent_channels=4,
)
VOLUME = VAEConfig(
    encoder=TwiceConfig(planes=PlaneEncoderConfig(mixing="tokens", mixed_levels=(0,), **SIZES)),
    decoder=PlaneDecoderConfig(channels=6, scales=1, reduction="concat", **SIZES),
    read_out=ConcatReadOutConfig(width=16, coordinates=True),
    latent_channels=4,
)
CASES = [(IMAGE, PlaneLayout.image()), (VOLUME, PlaneLayout.triplane(align_corners=True))]


@pytest.mark.parametrize(("config", "layout"), CASES)
def test_an_autoencoder_comes_back(config: VAEConfig, layout: PlaneLayout, tmp_path: Path) -> None:
    vae = config.build(layout).eval()
    vae.save_pretrained(tmp_path / "new" / "folder")
    again = D2CVAE.from_pretrained(tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"config.json", "model.safetensors"}
    assert again.built_by == (config, layout)
    assert not again.training
    planes, at = tuple(torch.randn(2, 3, 8, 8) for _ in layout.planes), torch.rand(1, 5, len(layout.axes))
    one, other = (each.function(each.encode(planes).mean)(at) for each in (vae, again))
    assert torch.equal(one, other)
    again.save_pretrained(tmp_path / "new" / "folder")  # over itself


def test_what_folders_cannot_hold(tmp_path: Path) -> None:
    vae = IMAGE.build(PlaneLayout.image())
    with pytest.raises(ValueError, match=r"put together by hand, .*; make it by VAEConfig\(...\).build\(layout\)"):
        D2CVAE(vae.encoder, vae.decoder, vae.read_out).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"type": "experiment"}')
    with pytest.raises(ValueError, match="config.json is of type 'experiment' and would be lost; save the D2CVAE in"):
        vae.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="config.json is of type 'experiment', not of a D2CVAE; load it with the"):
        D2CVAE.from_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write .*file; free space|cannot write .*file: .*; free space"):
        vae.save_pretrained(tmp_path / "file")


def changed(folder: Path, part: str, **values: Any) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"][part] |= values
    path.write_text(json.dumps(content))


def drop_bytes(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def not_a_number(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.out.bias"][0] = torch.nan
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is not there; give a folder that save_pretr"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is not there; copy it beside"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read as JSON .*; restore it"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json describes no network; restore it"),
        (lambda folder: (folder / "config.json").write_text('{"type": "D2CVAE"}'), "config.json: 'config'; compare"),
        (drop_bytes, "model.safetensors: damaged or no safetensors file"),
        (not_a_number, "model.safetensors: 'encoder.out.bias' has numbers that are NaN or infinite"),
        (lambda folder: changed(folder, "encoder", width=16), "model.safetensors: weights of another configuration"),
        (lambda folder: changed(folder, "encoder", width="8"), "config.json: .*; compare with the folder"),
        (lambda folder: changed(folder, "encoder", wide=8), "config.json: .*unexpected.*'wide'; compare"),
        (lambda folder: changed(folder, "encoder", type="os.system"), "'os.system' is no EncoderConfig .*; import the"),
        (lambda folder: changed(folder, "read_out", type="VAEConfig"), "'VAEConfig' is no ReadOutConfig that is known"),
    ],
)
def test_what_is_not_sound_is_named(damage: Any, message: str, tmp_path: Path) -> None:
    IMAGE.build(PlaneLayout.image()).save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        D2CVAE.from_pretrained(tmp_path)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (IMAGE.build(PlaneLayout.image()) for _ in range(2))
    old.save_pretrained(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretrained, "save_file", full)
    with pytest.raises(ValueError, match="No space left on device; free space"):
        new.save_pretrained(tmp_path)
    kept = D2CVAE.from_pretrained(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(kept.parameters(), old.parameters(), strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
