"""The explorer over HTTP, as a browser uses it."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load

from ddmi.explorer.desk import Left
from ddmi.explorer.explored import Explored
from ddmi.explorer.server import Answers
from ddmi_modalities.exploration import Content
from ddmi_modalities.image import ImageRenderOptions

from .conftest import RECIPES, Client, running


def first_function(ask: Client, model: str, more: str = "") -> str:
    events = ask(f"models/{model}/sample?count=1&steps=2{more}").events()
    return str(events[-1]["function"]["name"])


def test_the_page_needs_nothing_from_elsewhere(ask: Client) -> None:
    answer = ask("")
    page = answer.body.decode()
    assert answer.status == 200
    for part in ("ddmi.views.image", "ddmi.views.shape", "ddmi.views.nerf", "ddmi.views.video", "THREE.GLTFLoader"):
        assert part in page
    for outside in ('src="http', "src='http", 'href="http', "@import", "//cdn"):
        assert outside not in page
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy


def test_models_say_what_can_be_asked(ask: Client) -> None:
    described = {one["name"]: one for one in ask("models").json()}
    assert list(described) == list(RECIPES)
    assert described["openmoji"]["facts"]["native"] == 16
    assert described["openmoji"]["samplers"] == ["dpm-solver++", "euler", "unipc"]
    assert "CC BY-SA 4.0" in described["openmoji"]["attribution"]
    assert described["furniture-text"]["can_prompt"]
    assert [one["view"] for one in described.values()] == ["image", "shape", "nerf", "video", "shape"]


def test_a_wall_fills_as_functions_come(ask: Client) -> None:
    events = ask("models/openmoji/sample?count=6&seed=3&steps=2").events()
    functions = [event["function"] for event in events if "function" in event]
    assert [one["label"] for one in functions] == [f"seed 3, number {number}" for number in range(6)]
    assert {one["scales"] for one in functions} == {3}
    assert all(0 <= event["progress"] <= 1 for event in events if "progress" in event)
    more = ask("models/openmoji/sample?count=1&seed=3&steps=2&start=6").events()
    assert more[-1]["function"]["label"] == "seed 3, number 6"


def test_a_tile_is_exactly_that_part_of_the_picture(ask: Client, explored: Mapping[str, Explored]) -> None:
    name = first_function(ask, "openmoji")
    tile = ask(f"models/openmoji/functions/{name}/tile?z=2&x=3&y=1")
    assert tile.headers["content-type"] == "image/webp"
    model = explored["openmoji"]
    modality, options = model.model.experiment.modality, ImageRenderOptions(resolution=1024)
    whole = modality.render(model.samples.function(name), options).images[0].permute(1, 2, 0).numpy()
    seen = np.asarray(Image.open(io.BytesIO(tile.body)).convert("RGB"))
    difference = np.abs(whole[256:512, 768:1024].astype(float) - seen)
    assert difference.mean() < 3  # WebP's loss
    assert np.abs(whole[:256, 768:1024].astype(float) - seen).mean() > 2 * difference.mean()


@pytest.mark.parametrize(
    ("model", "question", "kind"),
    [
        ("openmoji", "enlarged?z=1&x=0&y=1", "image/webp"),
        ("openmoji", "picture?size=96", "image/png"),
        ("furniture", "mesh?cells=16", "model/gltf-binary"),
        ("furniture", "shaded?size=32", "image/png"),
        ("furniture", "slice?axis=z&at=0.5", "image/png"),
        ("turntable", "look?size=16&azimuth=90&depth=true", "image/webp"),
        ("turntable", "mesh?cells=16", "model/gltf-binary"),
        ("moving-openmoji", "strip?frames=32&first=8&count=4&size=24", "image/webp"),
        ("moving-openmoji", "clip?frames=4&size=16", "video/mp4"),
        ("moving-openmoji", "clip?frames=4&size=16&gif=true", "image/gif"),
    ],
)  # fmt: skip
def test_answers_of_all_kinds(ask: Client, model: str, question: str, kind: str) -> None:
    answer = ask(f"models/{model}/functions/{first_function(ask, model)}/{question}")
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    if kind.startswith("image/"):
        picture = Image.open(io.BytesIO(answer.body))
        wanted = {"picture": (96, 96), "shaded": (32, 32), "look": (16, 16), "strip": (96, 24)}
        assert picture.size == wanted.get(question.partition("?")[0], picture.size)
    if kind == "model/gltf-binary" and answer.body:
        assert answer.body[:4] == b"glTF"


def test_scales_are_switched_off(ask: Client) -> None:
    name = first_function(ask, "openmoji")
    tile = f"models/openmoji/functions/{name}/picture?size=16"
    pictures = {off: ask(f"{tile}&without={off}").body for off in ("", "1", "3", "1%2C2%2C3")}
    assert len(set(pictures.values())) == 4
    assert pictures[""] == ask(tile).body
    assert "scale 9 of 3" in ask(f"{tile}&without=9").json()["error"]


def test_ways_begin_and_end_at_their_functions(ask: Client) -> None:
    events = ask("models/openmoji/sample?count=2&seed=5&steps=3").events()
    first, second = (event["function"]["name"] for event in events if "function" in event)
    way = ask(f"models/openmoji/between?first={first}&second={second}&parts=3").events()
    names = [event["function"]["name"] for event in way if "function" in event]
    pixels = [
        np.asarray(Image.open(io.BytesIO(ask(f"models/openmoji/functions/{name}/picture?size=16").body)), float)
        for name in (first, *names, second)
    ]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert np.abs(pixels[-1] - pixels[-2]).max() <= 1
    assert np.abs(pixels[2] - pixels[1]).max() > 1


def test_a_file_becomes_a_function(ask: Client) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 60)).save(buffer, "PNG")
    kept = ask("models/openmoji/encode?name=my%20cat.png", buffer.getvalue())
    assert kept.status == 200
    assert kept.json()["label"] == "my cat.png"
    assert not kept.json()["grown"]
    assert ask(f"models/openmoji/functions/{kept.json()['name']}/tile").status == 200
    way = ask(f"models/openmoji/between?first={kept.json()['name']}&second={first_function(ask, 'openmoji')}")
    assert "both ends must have been sampled;" in way.events()[-1]["error"]
    names = [first_function(ask, "openmoji", f"&sampler={sampler}") for sampler in ("euler", "unipc")]
    way = ask(f"models/openmoji/between?first={names[0]}&second={names[1]}")
    assert "both ends must have been sampled alike" in way.events()[-1]["error"]


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("cat.png", b"no picture", "cat.png"),
        ("", b"x", "no usual end"),
        ("../../etc/passwd", b"x", "no usual end"),
        ("..%2F..%2Fcat.exe", b"x", "cat.exe"),
    ],
)
def test_broken_files_are_named(ask: Client, name: str, data: bytes, part: str) -> None:
    answer = ask(f"models/openmoji/encode?name={name}", data)
    assert answer.status == 400
    assert part in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("furniture", "cloud.ply"),
        ("furniture", "cloud.npz"),
        ("turntable", "cloud.ply"),
        ("moving-openmoji", "clip.mp4"),
        ("moving-openmoji", "clip.gif"),
    ],
)
@pytest.mark.parametrize(
    "data", [b"", b"ply\nformat ascii", b"PK\x03\x04", b"\x00\x00\x00\x18ftypmp42" + bytes(40), b"GIF89a"]
)
def test_broken_files_of_all_kinds_are_named(ask: Client, model: str, name: str, data: bytes) -> None:
    answer = ask(f"models/{model}/encode?name={name}", data)
    assert answer.status == 400, answer.body
    assert name in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


def test_files_that_are_too_large_are_refused(ask: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddmi.explorer.server.LARGEST", 2**20)
    assert "larger than 1 MB" in ask("models/openmoji/encode?name=a.png", bytes(2**20 + 1)).json()["error"]


def test_nearest_items_come_step_by_step(ask: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddmi.explorer.explored.TRAINING", 10)
    name = first_function(ask, "openmoji")
    events = ask(f"models/openmoji/functions/{name}/nearest").events()
    assert [event["progress"] for event in events if event.get("what", "").startswith("looking")] == [0.4, 0.8, 1.0]
    found = events[-1]["nearest"]
    assert len(found) == 4
    assert found == sorted(found, key=lambda one: one["distance"])
    again = ask(f"models/openmoji/functions/{name}/nearest").events()
    assert [event for event in again if "nearest" in event] == [events[-1]]
    assert not [event for event in again if event.get("what", "").startswith("looking")]  # they are looked at once


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("models/nothing/sample", 404, "no model 'nothing'; known: openmoji, furniture"),
        ("models/openmoji/functions/99999/tile", 404, "no function '99999' (any more): sample it again"),
        ("models/openmoji/functions/0/nothing", 404, "no question 'nothing'; known: tile, enlarged, picture"),
        ("models/openmoji/functions/0/tile?z=1&x=2", 400, "x and y from 0 to 2^z - 1"),
        ("models/openmoji/functions/0/tile?z=one", 400, "z is a whole number, got 'one'"),
        ("models/openmoji/functions/0/tile?depth=1", 400, "'depth' is unknown here; known: x, y, z"),
        ("models/openmoji/functions/0/picture?size=100000", 400, "size is from 1 to 4096"),
        ("models/openmoji/sample?count=10000", 400, "count is from 1 to 64"),
        ("models/openmoji/sample?steps=-1", 400, "steps"),
        ("models/openmoji/sample?guidance=nan", 400, "guidance is at most 100"),
        ("models/furniture/functions/0/mesh?cells=1024", 400, "at most 256 cells"),
        ("../../etc/passwd", 404, "Not Found"),
        ("models/openmoji/encode", 405, "Method Not Allowed"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(ask: Client, path: str, status: int, part: str) -> None:
    for model in ("openmoji", "furniture"):
        first_function(ask, model)
    answer = ask(path)
    assert (answer.status, part in answer.body.decode()) == (status, True), answer.body
    assert ask("models").status == 200


def test_a_prompt_too_long_or_of_a_model_without_words(ask: Client) -> None:
    assert "trained without sentences" in ask("models/openmoji/sample?prompt=a%20cat").events()[-1]["error"]
    assert "at most 500 letters" in ask(f"models/furniture-text/sample?prompt={'a' * 501}").json()["error"]
    events = ask("models/furniture-text/sample?count=1&steps=2&prompt=a%20round%20table").events()
    assert "a round table" in events[-1]["function"]["label"]


def test_latents_are_taken_away(ask: Client, explored: Mapping[str, Explored]) -> None:
    name = first_function(ask, "furniture")
    planes = load(ask(f"models/furniture/functions/{name}/latent.safetensors").body)
    kept = explored["furniture"].samples[name].latent
    assert [planes[f"plane.{i}"].tolist() for i in range(3)] == [plane.tolist() for plane in kept]


def test_only_this_machine_and_this_page(ask: Client) -> None:
    assert "not 'evil.example'" in ask("models", Host="evil.example").json()["error"]
    assert ask("models", Host="localhost:1").status == 200
    assert ask("models", sec_fetch_site="cross-site").status == 403
    assert ask("models/openmoji/encode?name=a.png", b"x", sec_fetch_site="same-site").status == 403
    assert ask("models/openmoji/encode?name=a.png", b"x", Origin="http://127.0.0.1:1").status == 403
    assert ask("models", Origin=f"http://127.0.0.1:{ask.port}").status == 200
    assert ask("", sec_fetch_site="cross-site").status == 200  # a link to the page


def test_elsewhere_a_token_is_wanted(explored: Mapping[str, Explored]) -> None:
    for ask in running({"openmoji": explored["openmoji"]}, token="secret"):
        assert ask("models").status == 403
        assert ask("models?token=wrong").status == 403
        assert ask("?token=secret", Host="the.house").status == 200
        cookie = ask("?token=secret").headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert ask("models", Cookie=cookie.partition(";")[0], Host="the.house").status == 200


def test_who_leaves_ends_the_work(
    ask: Client, explored: Mapping[str, Explored], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ended = explored["openmoji"].model, threading.Event()
    sample_latents = model.sample_latents

    def watched(*args: Any, **options: Any) -> Any:
        try:
            return sample_latents(*args, **options)
        except Left:
            ended.set()
            raise

    monkeypatch.setattr(model, "sample_latents", watched)
    with socket.create_connection(("127.0.0.1", ask.port)) as connection:
        connection.sendall(b"GET /models/openmoji/sample?count=4&steps=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'"progress"' in connection.recv(4000) + connection.recv(4000)
    assert ended.wait(60), "the sampling went on"
    assert first_function(ask, "openmoji")


def test_a_fault_is_told_and_nothing_else_suffers(
    ask: Client, explored: Mapping[str, Explored], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = first_function(ask, "openmoji")

    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("out of memory\nand more")

    with monkeypatch.context() as patch:
        patch.setattr(explored["openmoji"].model, "sample_latents", broken)
        assert "RuntimeError: out of memory; the window" in ask("models/openmoji/sample").events()[-1]["error"]
    with monkeypatch.context() as patch:
        patch.setattr(explored["openmoji"], "answer", broken)
        answer = ask(f"models/openmoji/functions/{name}/picture?size=17")
        assert (answer.status, "out of memory" in answer.json()["error"]) == (500, True)
    assert ask(f"models/openmoji/functions/{name}/picture?size=17").status == 200


def test_answers_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddmi.explorer.server.KEPT", 10)
    answers = Answers()
    for key in "abc":
        answers.keep(key, Content(b"1234", "x"))
    assert [answers.get(key) is None for key in "abc"] == [True, False, False]
    assert answers.bytes == 8
    answers.keep("b", Content(b"12", "x"))
    assert answers.bytes == 6


def test_nothing_is_read_that_a_request_names(ask: Client) -> None:
    with socket.create_connection(("127.0.0.1", ask.port)) as connection:
        connection.sendall(b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert b"404" in answer.splitlines()[0]
    assert b"root:" not in answer
    assert json.loads(answer.splitlines()[-1]) == {"error": "404: Not Found"}
