"""Furniture of a Debian package, from a miniature one that the test writes."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import trimesh

from ddmi_modalities.datasets.preparation import Fetching, Prepared, prepare
from ddmi_modalities.shape import ShapeModality, prepare_sweethome
from ddmi_modalities.shape.data import sweethome
from ddmi_modalities.shape.data.mesh_folder import MeshFolder
from ddmi_modalities.shape.data.sweethome import CATALOGUE, turned_obj
from ddmi_modalities.shape.prepare_sweethome import SweetHomePreparation, kind_of

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: Wood/*
Copyright: 2001, A. Carpenter
           and friends
License: CC-BY-3.0

Files: Free/*
License: CC0
"""
MODELS = (
    ("Wood", "Bar stool", "stool", "A. Carpenter"),
    ("Wood", "Chair with cushion", "chair1", "A. Carpenter"),
    ("Wood", "Table lamp", "lamp", "A. Carpenter"),
    ("Free", "Sof\\u00e1 couch", "couch", "Zo\\u00eb"),
)


def archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def package(path: Path, files: Mapping[str, bytes], name: str = sweethome.PACKAGE) -> Path:
    whole = b"!<arch>\n"
    control = tar({"./control": f"Package: {name}\nVersion: 1-1\n".encode()})
    for member, content in (("control.tar.xz", control), ("data.tar.xz", tar(files))):
        whole += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        whole += content + b"\n" * (len(content) % 2)
    path.write_bytes(whole)
    return path


def catalogue(name: str) -> bytes:
    """A box of 1 x 2 x 4 for each model of a catalogue; stools lie on their side and say how they stand."""
    files, lines = {}, ["# a comment", f"id={name}", "license=see elsewhere"]
    for number, (_, title, folder, creator) in enumerate((one for one in MODELS if one[0] == name), start=1):
        mesh = trimesh.creation.box(extents=(1, 2, 4))
        obj = f"mtllib {folder}.mtl\n" + trimesh.exchange.obj.export_obj(mesh, include_normals=True)
        files[f"all/{folder}/{folder}.obj"] = obj.encode()
        files[f"all/{folder}/{folder}.mtl"] = b"newmtl wood\nKd 1 0 0\n"
        files[f"all/{folder}/bark.PNG"] = b"not looked at"
        files[f"all/{folder}/source.blend"] = b"not kept"
        of = dict(
            name=title, category="Bar", creator=creator, model=f"/all/{folder}/{folder}.obj", width="10", depth="40",
            height="20",
        )  # fmt: skip
        if folder == "stool":
            of |= dict(modelRotation="1 0 0 0 0 1 0 -1 0", height="40", depth="20")
        lines += [f"{key}#{number}={value}" for key, value in of.items()]
    return archive({CATALOGUE: "\n".join(lines).encode("latin-1"), **files})


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


FOLDER = "./usr/share/sweethome3d/furniture"


@pytest.fixture
def contents() -> dict[str, bytes]:
    return {
        f"{FOLDER}/Wood.sh3f": catalogue("Wood"),
        f"{FOLDER}/Free.sh3f": catalogue("Free"),
        f"./usr/share/doc/{sweethome.PACKAGE}/copyright": COPYRIGHT.encode(),
    }


def run(deb: Path | str, out: Path, **settings: tuple[str, ...]) -> Prepared:
    return prepare(SweetHomePreparation(**settings).plan(ShapeModality(source=str(deb))), out, workers=1)


def test_models_become_a_folder_that_shapes_read(tmp_path: Path, contents: dict[str, bytes], said: list[str]) -> None:
    out = tmp_path / "out"
    deb = package(tmp_path / "small.deb", contents)
    done = run(deb, out)
    assert set(done.made) == {"chair/wood-chair1", "sofa/free-couch", "stool/wood-stool"}
    stool = out / "stool" / "wood-stool"
    assert {file.name for file in stool.iterdir()} == {"model.obj", "model.txt", "stool.mtl", "bark.PNG"}
    manifest = json.loads((out / "manifest.json").read_text())
    items = [item for split in ("train", "test") if manifest["counts"][split] for item in MeshFolder(out, split)]  # type: ignore[arg-type]
    assert {item.captions for item in items} == {("Bar stool",), ("Chair with cushion",), ("Sofá couch",)}
    for item in items:  # all are as wide, high and deep as the catalogue says, the largest side being 1
        assert item.solid.extents == pytest.approx([0.25, 1, 0.5] if item.label == "stool" else [0.25, 0.5, 1])
        assert item.closed
        assert manifest["items"][item.name.removesuffix("/model.obj")]["split"] in ("train", "test")
    models = json.loads((out / "models.json").read_text())
    assert models["sofa/free-couch"]["creator"] == "Zoë"
    assert (models["stool/wood-stool"]["licence"], models["stool/wood-stool"]["size"]) == ("CC-BY-3.0", [10, 40, 20])
    text = ShapeModality(source=str(out)).attribution
    assert text is not None
    assert "Wood: CC-BY-3.0, https://creativecommons.org/licenses/by/3.0/; (c) 2001, A. Carpenter and friends; " in text
    assert "models by A. Carpenter (2)." in text
    assert any(text in one for one in said)
    again = run(deb, out)
    assert (again.made, set(again.kept)) == ((), set(done.made))


def test_kinds_are_chosen(tmp_path: Path, contents: dict[str, bytes]) -> None:
    deb = package(tmp_path / "small.deb", contents)
    assert run(deb, tmp_path / "lamps", kinds=("lamp",)).made == ("lamp/wood-lamp",)
    assert len(run(deb, tmp_path / "all", kinds=()).made) == 4
    with pytest.raises(
        ValueError, match="no model of sweethome3d-furniture is one of lamps; give other --kinds, in the"
    ):
        run(deb, tmp_path / "none", kinds=("lamps",))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Bar stool", "stool"), ("Chair with cushion", "chair"), ("Sofa 2 seats", "sofa"), ("Couch", "sofa"),
     ("Desk lamp", "lamp"), ("Table tennis bat", "bat"), ("Convertible sofa BZ", "sofa"), ("Armchair ottoman", "stool"),
     ("Table on trestles", "table"), ("Seat Leon", "leon"), ("", "thing")],
)  # fmt: skip
def test_what_a_name_says(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_models_are_turned_with_their_normals() -> None:
    turn = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0)
    text = turned_obj(b"# x\nv 1 2 3 0.5 0.5 0.5\nvn 1 0 0\nvt 1 0\nf 1 1 1\n", turn).decode().splitlines()
    assert text[1:4] == ["v 3 2 -1 0.5 0.5 0.5", "vn 0 0 -1", "vt 1 0"]
    with pytest.raises(ValueError, match="modelRotation of 4 numbers, wanted 9"):
        turned_obj(b"", (1.0, 0.0, 0.0, 1.0))
    assert np.linalg.det(np.reshape(turn, (3, 3))) == pytest.approx(1)


def test_packages_that_are_no_such(tmp_path: Path, contents: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        ValueError, match=r"none.deb' is no file; give the path of sweethome3d-furniture_VERSION_all.deb"
    ):
        run(tmp_path / "none.deb", out)
    with pytest.raises(ValueError, match="is the package 'other'; give sweethome3d-furniture_VERSION"):
        run(package(tmp_path / "a.deb", contents, name="other"), out)
    with pytest.raises(ValueError, match="holds no catalogue"):
        run(package(tmp_path / "b.deb", {f"./usr/share/doc/{sweethome.PACKAGE}/copyright": b"x"}), out)
    unlicensed = {**contents, f"{FOLDER}/Stolen.sh3f": catalogue("Free")}
    with pytest.raises(ValueError, match=r"Stolen.sh3f: the package's copyright file states no licence of it"):
        run(package(tmp_path / "c.deb", unlicensed), out)
    with pytest.raises(ValueError, match=r"Wood.sh3f' is no whole catalogue \(.*; fetch the package again"):
        run(package(tmp_path / "d.deb", {**contents, f"{FOLDER}/Wood.sh3f": b"PK no zip"}), out)


def test_models_that_are_damaged_are_left_out(tmp_path: Path, contents: dict[str, bytes]) -> None:
    whole = contents[f"{FOLDER}/Wood.sh3f"]
    with zipfile.ZipFile(io.BytesIO(whole)) as made:
        info = made.getinfo("all/stool/stool.obj")
        begin = info.header_offset + 30 + len(info.filename)
    damaged = whole[:begin] + b"\xff" * 40 + whole[begin + 40 :]
    done = run(package(tmp_path / "small.deb", {**contents, f"{FOLDER}/Wood.sh3f": damaged}), tmp_path / "out")
    assert set(done.left_out) == {"stool/wood-stool"}
    assert "Wood.sh3f is damaged at all/stool/stool.obj" in done.left_out["stool/wood-stool"]
    assert not (tmp_path / "out" / "stool").exists() or not list((tmp_path / "out" / "stool").rglob("*.obj"))


def test_numbers_that_are_none_name_the_model(tmp_path: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(contents[f"{FOLDER}/Free.sh3f"])) as files:
        made = {name: files.read(name) for name in files.namelist()}
    made[CATALOGUE] = made[CATALOGUE].replace(b"width#1=10", b"width#1=wide")
    deb = package(tmp_path / "a.deb", {**contents, f"{FOLDER}/Free.sh3f": archive(made)})
    with pytest.raises(ValueError, match=r"Free\.sh3f', model .*: its width is 'wide', wanted numbers; fetch"):
        run(deb, tmp_path / "out")


def test_the_package_is_fetched(tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, folder: Path) -> Path:
        return package(folder / f"{name}_1-1_all.deb", contents)

    monkeypatch.setattr(prepare_sweethome, "download_deb", download)
    preparation = SweetHomePreparation()
    assert isinstance(preparation, Fetching)
    assert len(run(preparation.fetch(tmp_path), tmp_path / "out").made) == 3
