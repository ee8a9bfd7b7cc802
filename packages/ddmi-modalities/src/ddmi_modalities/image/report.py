"""The pictures that show what an image model has learnt."""

from __future__ import annotations

from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.album import Album
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.files.sheets import comparison, contact_sheet
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.view import ImageRenderOptions
from ddmi_modalities.image.zoom import zoom_strip, zoom_views
from ddmi_modalities.metrics.pairs import bicubic
from ddmi_modalities.modality import FunctionSource

RESOLUTIONS = (32, 64, 256, 1024)
SHOWN = 12  # a sample of the sheet that is shown at every size


def report_images(modality: ImageModality, model: FunctionSource, album: Album, seed: int = 0) -> None:
    """Reconstructions of held-out images; with stage 2 also samples, one of them at several sizes, and a zoom."""
    held_out = modality.dataset("test")
    items = [held_out[i] for i in evenly_spaced(len(held_out), 10)]
    small, large = modality.size, 4 * modality.size
    native, fine = ImageRenderOptions(resolution=small), ImageRenderOptions(resolution=large)
    given = modality.truth(items, native).images
    made = modality.render(model.reconstruct(modality.inputs(items)), fine).images
    rows = {
        f"given, {small} px": given,
        f"bicubic, {large} px": bicubic(given, fine.size),
        f"DDMI, {large} px": made,
        f"true, {large} px": modality.truth(items, fine).images,
    }
    album.picture("reconstructions.png", comparison(rows, tile=128))
    if not model.can_sample:
        return
    samples = model.sample(40, seed=seed)
    sheet = modality.render(samples, ImageRenderOptions(resolution=96)).images
    album.picture("samples.png", contact_sheet(sheet, columns=10))
    one = samples[SHOWN]
    sizes = {size: modality.render(one, ImageRenderOptions(resolution=size)).images[0] for size in RESOLUTIONS}
    labels = [f"{size} x {size}" for size in sizes]
    album.picture("resolutions.png", contact_sheet(list(sizes.values()), columns=len(sizes), tile=320, labels=labels))
    for size, image in sizes.items():
        album.picture(f"sample_{size}.png", to_picture(image))
    views = zoom_views(320, (1, 4, 16), centre=(0.5, 0.4))
    album.picture("zoom.png", zoom_strip([modality.render(one, view).images[0] for view in views], views))
