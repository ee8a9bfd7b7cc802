"""The explorer as a person uses it, in a real browser; records what it looked like."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from .conftest import MODELS, Open
from .recording import Recording, changed, pixels

pytestmark = pytest.mark.browser


def wait_for_wall(page: Page, count: int) -> None:
    expect(page.locator("#wall .function")).to_have_count(count, timeout=90_000)
    expect(page.locator("#progress")).to_be_hidden(timeout=90_000)
    for number in range(count):
        expect(page.locator("#wall img").nth(number)).to_have_js_property("complete", True, timeout=90_000)


def drag(page: Page, selector: str, by: tuple[int, int], steps: int = 4) -> None:
    box = page.locator(selector).first.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=steps)
    page.mouse.up()


def slide(page: Page, label: str, value: float) -> None:
    page.get_by_label(label, exact=True).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


def test_images_are_zoomed_and_compared(open_model: Open) -> None:
    page = open_model("openmoji")
    wait_for_wall(page, 8)
    film = Recording(page, "image")
    page.locator("#wall .function").nth(4).click()
    page.wait_for_timeout(2500)
    film.take(3)
    whole = pixels(page, "figure:nth-child(1) canvas")
    assert whole.std() > 20
    page.locator("canvas").first.focus()
    for _ in range(2):
        page.keyboard.press("+")
        page.wait_for_timeout(2500)
        film.take(3)
    read, enlarged = (pixels(page, f"figure:nth-child({number}) canvas") for number in (1, 2))
    assert changed(whole, read) > 0.05
    assert 0.005 < changed(read, enlarged) < 0.5, "the same place, in other detail"
    for _ in range(2):
        page.keyboard.press("+")
        page.wait_for_timeout(2500)
        film.take(3)
    assert "16 x" in page.locator("figcaption").first.inner_text()
    assert "8192 x 8192" in page.locator("figcaption").first.inner_text()
    read = pixels(page, "figure:nth-child(1) canvas")
    drag(page, "canvas", (120, 40))
    page.wait_for_timeout(1500)
    assert changed(read, pixels(page, "figure:nth-child(1) canvas")) > 0.01
    film.take(2)
    page.get_by_label("3, finest").uncheck()
    page.wait_for_timeout(2500)
    film.take(3)
    film.save()


def test_shapes_turn_in_any_number_of_cells(open_model: Open) -> None:
    page = open_model("furniture")
    wait_for_wall(page, 8)
    film = Recording(page, "shape")
    expect(page.locator("figcaption").first).to_contain_text("64 cells a side", timeout=90_000)
    film.take(2)
    before = pixels(page, "figure canvas")
    assert (before < 200).any(-1).mean() > 0.02, "a mesh is seen"
    for _ in range(4):
        drag(page, "figure canvas", (60, 12))
        page.wait_for_timeout(200)
        film.take()
    assert changed(before, pixels(page, "figure canvas")) > 0.02
    faces = int(page.locator("figcaption").first.inner_text().split()[0])
    slide(page, "cells a side", 7)
    expect(page.locator("figcaption").first).to_contain_text("128 cells a side", timeout=90_000)
    assert int(page.locator("figcaption").first.inner_text().split()[0]) > 2 * faces
    film.take(2)
    for at in (-0.6, -0.2, 0.2, 0.6):
        slide(page, "at", at)
        expect(page.locator("figcaption").nth(1)).to_contain_text(f"y = {at:.2f}")
        film.take(2)
    film.save()


def test_scenes_are_looked_at_from_all_around(open_model: Open) -> None:
    page = open_model("turntable")
    wait_for_wall(page, 8)
    film = Recording(page, "nerf")
    expect(page.locator("figcaption").first).to_contain_text("192 x 192", timeout=90_000)
    film.take(2)
    before = pixels(page, ".look")
    page.locator(".look").focus()
    for turn in range(1, 6):
        page.keyboard.press("ArrowRight")
        where = f"192 x 192 pixels, {45 + 30 * turn} degrees"
        expect(page.locator("figcaption").first).to_contain_text(where, timeout=90_000)
        film.take(2)
    assert changed(before, pixels(page, ".look")) > 0.02
    colour = pixels(page, ".look")
    page.get_by_label("depth").check()
    page.wait_for_timeout(4000)
    film.take(3)
    depth = pixels(page, ".look")
    assert changed(colour, depth) > 0.02
    assert abs(depth[..., 0] - depth[..., 2]).max() < 12, "depth is grey"
    page.get_by_role("button", name="surface as a mesh").click()
    expect(page.locator("figcaption").nth(1)).to_contain_text("triangles", timeout=90_000)
    film.take(3)
    film.save()


def test_clips_play_and_stand_between_frames(open_model: Open) -> None:
    page = open_model("moving-openmoji")
    wait_for_wall(page, 8)
    film = Recording(page, "video")
    page.wait_for_timeout(1500)
    first = page.locator("figcaption").inner_text()
    for _ in range(10):
        page.wait_for_timeout(150)
        film.take()
    assert page.locator("figcaption").inner_text() != first
    page.get_by_role("button", name="pause").click()
    still = page.locator("figcaption").inner_text()
    page.wait_for_timeout(500)
    assert page.locator("figcaption").inner_text() == still
    page.get_by_label("frames", exact=True).select_option(index=3)
    slide(page, "time", 0.5)
    expect(page.locator("figcaption")).to_contain_text("of 128", timeout=90_000)
    seen = [pixels(page, "figure canvas")]
    for at in (0.51, 0.9):
        slide(page, "time", at)
        page.wait_for_timeout(2500)
        film.take()
        seen.append(pixels(page, "figure canvas"))
    assert changed(seen[0], seen[1]) < changed(seen[0], seen[2])
    film.save()


def test_a_way_between_two_functions(open_model: Open) -> None:
    page = open_model("openmoji")
    wait_for_wall(page, 8)
    page.get_by_role("button", name="go to another ...").click()
    page.locator("#wall .function").nth(3).click()
    page.get_by_label("way", exact=True).wait_for()
    expect(page.locator("#view h2")).to_contain_text("4 / 8 of the way, from seed 0, number 0 to seed 0, number 3")
    seen = []
    for part in (0, 4, 8):
        slide(page, "way", part)
        page.wait_for_timeout(2000)
        seen.append(pixels(page, "figure:nth-child(1) canvas"))
    assert changed(seen[0], seen[2]) > 0.05
    assert changed(seen[0], seen[1]) > 0.01


def test_files_are_encoded_and_broken_ones_named(open_model: Open, tmp_path: Path) -> None:
    page = open_model("openmoji")
    wait_for_wall(page, 8)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("input[type=file]").set_input_files(tmp_path / "broken.png")
    expect(page.locator("#error")).to_contain_text("broken.png")
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste((220, 40, 40), (16, 16, 48, 48))
    picture.save(tmp_path / "square.png")
    page.locator("input[type=file]").set_input_files(tmp_path / "square.png")
    expect(page.locator("#view h2")).to_have_text("square.png")
    expect(page.locator("#error")).to_be_hidden()
    page.wait_for_timeout(2000)
    seen = pixels(page, "figure:nth-child(1) canvas")
    middle, corner = seen[200:240, 200:240].mean((0, 1)), seen[20:40, 20:40].mean((0, 1))
    assert middle[0] - middle[2] > 60  # red, after encoding and decoding
    assert corner.min() > 180
    with page.expect_download() as download:
        page.get_by_role("link", name=".png").click()
    with Image.open(download.value.path()) as taken:
        assert taken.size == (1024, 1024)


def test_nearest_training_items(open_model: Open) -> None:
    page = open_model("openmoji")
    wait_for_wall(page, 8)
    page.get_by_role("button", name="nearest training items").click()
    expect(page.locator(".near figure")).to_have_count(4, timeout=180_000)
    expect(page.locator(".near figcaption").first).to_contain_text("cosine distance 0.")


def test_two_clients_and_one_that_leaves(open_model: Open) -> None:
    slow, quick = open_model("furniture"), open_model("openmoji")
    slow.get_by_role("spinbutton", name="how many").fill("64")
    slow.get_by_role("spinbutton", name="steps").fill("200")
    slow.get_by_role("button", name="sample", exact=True).click()
    expect(slow.locator("#progress")).to_be_visible()
    wait_for_wall(quick, 8)  # answered in between
    expect(slow.locator("#progress")).to_be_visible()
    slow.close()
    quick.get_by_role("spinbutton", name="seed").fill("7")
    quick.get_by_role("button", name="sample", exact=True).click()
    expect(quick.locator("#view h2")).to_have_text("seed 7, number 0", timeout=60_000)


def test_a_sampling_is_stopped(open_model: Open) -> None:
    page = open_model("openmoji")
    page.get_by_role("spinbutton", name="how many").fill("64")
    page.get_by_role("spinbutton", name="steps").fill("500")
    page.get_by_role("button", name="sample", exact=True).click()
    expect(page.locator("#progress")).to_contain_text("sampling", timeout=60_000)
    page.get_by_role("button", name="stop").click()
    expect(page.locator("#progress")).to_be_hidden()
    there = page.locator("#wall .function").count()
    page.wait_for_timeout(5000)
    assert page.locator("#wall .function").count() == there < 64
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#error")).to_be_hidden()


def test_pages_without_a_server(browser: Browser, tmp_path: Path) -> None:
    from ddmi.cli import main

    out = tmp_path / "all.html"
    assert main(["explore", *MODELS, "--html", str(out), "--count", "2"]) == 0
    page = browser.new_page(viewport={"width": 1180, "height": 760})
    asked: list[str] = []
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.goto(out.as_uri())
    for model in MODELS:
        page.get_by_role("button", name=model, exact=True).click()
        page.wait_for_timeout(1500)
        film = Recording(page, f"offline-{model}")
        assert film.take().size == (1180, 760)
        film.save()
        selector = ".look" if model == "turntable" else "figure canvas"
        assert pixels(page, selector).std() > 8
        assert page.locator("#wall .function").count() == 2
    assert set(asked) <= {"file", "data", "blob"}, "nothing else is asked for"
    assert errors == []
    page.close()


def test_a_server_that_was_stopped_is_said(browser: Browser, tmp_path: Path) -> None:
    import subprocess
    import sys

    line = (sys.executable, "-m", "ddmi", "explore", "openmoji", "--port", "0")
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        address = next(word for text in process.stderr for word in text.split() if word.startswith("http://"))
        page = browser.new_page()
        page.goto(address)
        page.locator("#view h2").wait_for(timeout=90_000)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        page.get_by_role("button", name="sample", exact=True).click()
        expect(page.locator("#error")).to_contain_text("does not answer any more")
        page.close()
