"""The pictures that show what an image model has learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from ddmi_modalities.image.metrics import bicubic
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.set_distances import spread
from ddmi_modalities.image.view import ImageView, zoom_views
from ddmi_modalities.image.zoom import zoom_strip
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.sheet import comparison, contact_sheet

RESOLUTIONS = (32, 64, 256, 1024)
SHOWN = 4  # a sample of the sheet that is shown at every size


def report_images(
    modality: ImageModality,
    model: FunctionSource,
    directory: Path,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Reconstructions of held-out images; with stage 2 also samples, one of them at several sizes, and a zoom."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []

    def save(name: str, picture: Image.Image) -> None:
        note(f"drawing {name}")
        picture.save(directory / name)
        written.append(directory / name)

    held_out = modality.dataset("test")
    items = [held_out[i] for i in spread(len(held_out), 10)]
    native, fine = ImageView(resolution=modality.size), ImageView(resolution=4 * modality.size)
    given = modality.truth(items, native).images
    save(
        "reconstructions.png",
        comparison(
            {
                f"given, {modality.size} px": given,
                f"bicubic, {4 * modality.size} px": bicubic(given, fine.size),
                f"DDMI, {4 * modality.size} px": modality.render(
                    model.reconstruct(modality.inputs(items)), fine
                ).images,
                f"true, {4 * modality.size} px": modality.truth(items, fine).images,
            },
            tile=128,
        ),
    )
    if not model.can_sample:
        return written
    samples = model.sample(40, seed=seed)
    save("samples.png", contact_sheet(modality.render(samples, ImageView(resolution=96)).images, columns=10))
    one = samples[SHOWN]
    sizes = [modality.render(one, ImageView(resolution=size)) for size in RESOLUTIONS]
    save(
        "resolutions.png",
        contact_sheet(
            [made.images[0] for made in sizes],
            columns=len(RESOLUTIONS),
            tile=320,
            labels=[f"{size} x {size}" for size in RESOLUTIONS],
        ),
    )
    for size, made in zip(RESOLUTIONS, sizes, strict=True):
        to = directory / f"sample_{size}.png"
        made.save(directory / f".{size}")[0].replace(to)
        (directory / f".{size}").rmdir()
        written.append(to)
    views = zoom_views(320, (1, 4, 16), centre=(0.5, 0.4))
    save("zoom.png", zoom_strip([modality.render(one, view).images[0] for view in views], views))
    return written
