"""Screenshots of a test as a GIF: what a person would have seen."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page

HERE = Path(__file__).parents[2] / "runs" / "browser"


class Recording:
    """Of one page; `take` as often as something is to be seen."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.path, self.frames = page, HERE / f"{name}.gif", list[Image.Image]()

    def take(self, times: int = 1) -> Image.Image:
        """The page as it is, for so many frames."""
        frame = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        small = frame.resize((frame.width * 2 // 3, frame.height * 2 // 3), Image.Resampling.LANCZOS)
        self.frames += [small] * times
        return frame

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        palette = [frame.quantize(128, dither=Image.Dither.NONE) for frame in self.frames]
        palette[0].save(self.path, save_all=True, append_images=palette[1:], duration=350, loop=0, optimize=True)


def pixels(page: Page, selector: str) -> np.ndarray:
    """What an element shows, (rows, columns, 3) from 0 to 255."""
    shot = page.locator(selector).first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(float)


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Part of the pixels that differ visibly."""
    return float((np.abs(before - after).max(-1) > 24).mean())
