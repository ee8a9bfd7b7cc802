"""Descriptions joined to models: a miniature of Text2Shape, and broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ddmi_modalities import DataSet
from ddmi_modalities.shape.data.shapenet import ShapeNet
from ddmi_modalities.shape.data.text2shape import Text2Shape
from ddmi_modalities.shape.items import ShapeItem

HEAD = "id,modelId,description,category,topLevelSynsetId,subSynsetId\n"


@pytest.fixture
def shapenet(tmp_path: Path) -> ShapeNet:
    for synset, models in (("03001627", "abc"), ("04379243", "ax")):
        for model in models:
            folder = tmp_path / synset / model
            folder.mkdir(parents=True)
            points = np.random.default_rng(0).random((16, 3), dtype=np.float32)
            np.savez(folder / "points.npz", points=points, occupancies=np.zeros(2, dtype=np.uint8))
            np.savez(folder / "pointcloud.npz", points=points, normals=points)
        (tmp_path / synset / "train.lst").write_text("\n".join(models))
    return ShapeNet(tmp_path, "train")


def write(folder: Path, *rows: str) -> Path:
    file = folder / "captions.tablechair.csv"
    file.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return file


def test_join(shapenet: ShapeNet, tmp_path: Path, said: list[str]) -> None:
    file = write(
        tmp_path,
        "1,a,A red chair.,Chair,03001627,03001627",
        '2,b,"Brown, with ""arms""\nand a back",Chair,3001627,03001627',
        "3,gone,A blue chair.,Chair,03001627,03001627",
        "4,a,It has four legs.,Chair,03001627,03001627",
        "5,a,A table – the same id.,Table,04379243,04379243",
        "6,c,  ,Chair,03001627,03001627",
        "7,a,A red chair.,Chair,03001627,03001627",
    )
    data = Text2Shape(file, shapenet)
    assert len(data) == 3
    assert [data[index].name for index in range(3)] == ["03001627/a", "03001627/b", "04379243/a"]
    assert data[0].captions == ("A red chair.", "It has four legs.")
    assert data[1].captions == ('Brown, with "arms" and a back',)
    assert data[2].captions == ("A table – the same id.",)
    assert (data.missing, data.blank) == (1, 1)
    (sentence,) = said
    assert "of 7 descriptions, 1 are of models that are not in split 'train', 1 are empty; 3 of 5 models" in sentence
    item = data[-1]
    assert isinstance(item, ShapeItem)
    assert isinstance(data, DataSet)
    assert item.label == "table"
    assert item.points(5, np.random.default_rng(0), None)[0].shape == (5, 3)
    assert item.surface(5, np.random.default_rng(0))[0].shape == (5, 3)
    with pytest.raises(ValueError, match="stored points only"):
        item.points(5, np.random.default_rng(0), 0.5)
    with pytest.raises(ValueError, match="without a mesh"):
        item.mesh()


def test_a_byte_order_mark_is_no_part_of_the_first_column(shapenet: ShapeNet, tmp_path: Path) -> None:
    file = tmp_path / "marked.csv"
    file.write_text("modelId,description,topLevelSynsetId\na,red,03001627\n", encoding="utf-8-sig")
    assert len(Text2Shape(file, shapenet)) == 1


def test_nothing_to_report(shapenet: ShapeNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Text2Shape(write(tmp_path, "1,a,red,Chair,03001627,"), shapenet)
    assert capsys.readouterr().out == ""


def test_messages(shapenet: ShapeNet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'.*none.csv' does not exist"):
        Text2Shape(tmp_path / "none.csv", shapenet)
    file = tmp_path / "broken.csv"
    file.write_text("")
    with pytest.raises(ValueError, match=r"broken.csv' is empty; take captions.tablechair.csv"):
        Text2Shape(file, shapenet)
    file.write_text(HEAD)
    with pytest.raises(ValueError, match="has columns but no rows"):
        Text2Shape(file, shapenet)
    file.write_text("id,modelId,text\n1,a,red\n")
    with pytest.raises(
        ValueError, match="lacks the columns description, topLevelSynsetId and has 'id', 'modelId', 'te"
    ):
        Text2Shape(file, shapenet)
    file.write_bytes(HEAD.encode() + "1,a,café,Chair,03001627,\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"as text: .* at byte 68; save it as UTF-8, for instance with iconv"):
        Text2Shape(file, shapenet)
    file.write_bytes((HEAD + "1,a,red,Chair,03001627,\n").encode("utf-16"))
    assert Text2Shape(file, shapenet)[0].captions == ("red",)
    file.write_text(HEAD + "1,a,red\n")
    with pytest.raises(ValueError, match="line 2 of .* has fewer cells than columns"):
        Text2Shape(file, shapenet)
    file.write_text(HEAD + '1,a,"red,Chair,03001627,\n')
    with pytest.raises(ValueError, match="is no sound CSV"):
        Text2Shape(file, shapenet)
    file.write_text(HEAD + "1,other,red,Chair,03001627,\n")
    with pytest.raises(ValueError, match=r"none of the 1 rows of .* describes one of the 5 models in split 'train'"):
        Text2Shape(file, shapenet)
