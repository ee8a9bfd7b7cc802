"""The modality of radiance fields: coloured points in, density and colour of the space around them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.datasets.named_draws import named_generator
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.extent import FIELD_HALF, Extent
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.modality import OWN_DATA, Batch, DataSet, Modality
from ddmi_modalities.nerf.data.sources import open_scenes, read_scene
from ddmi_modalities.nerf.items import NerfItem, RayQuery
from ddmi_modalities.nerf.render.views import Pictures, coloured_mesh, depth_picture, render_views
from ddmi_modalities.nerf.render.volume import render_rays
from ddmi_modalities.nerf.view import NerfRendering, NerfRenderOptions
from ddmi_vae import LIKELIHOODS, Distance, Randomness


@dataclass(frozen=True, kw_only=True)
class NerfModality(Modality[NerfItem, RayQuery, NerfRenderOptions, NerfRendering]):
    """Configuration and behaviour of radiance fields.

    The world is a cube around the origin, y up.  Prediction and target have four channels, the last of which is the
    opacity of the ray; the likelihood is that of the first three.
    """

    source: str = "turntable"
    """'turntable', or a folder: SRN Cars, scenes as NPZ files, or scenes with a transforms.json."""
    items: int = 1000
    """Training scenes of 'turntable', which is unlimited."""
    size: int = 64
    """Pixels a side of the views."""
    half: float = FIELD_HALF
    """Half the side of the scene's cube in world units: field coordinates [-1, 1]."""
    scale: float = 1.0
    """World units per unit of a folder's cameras, so that its objects fill the unit cube."""
    hold_out: int = 5
    """Of so many views of a folder's scene one is held out, where the data do not say which."""
    cloud: int = 2048
    """Coloured points that the encoder sees."""
    noise: float = 0.005
    """Standard deviation of the noise on their places in training, in world units."""
    num_queries: int = 512
    """Rays of each scene in a step, drawn over all of its given views."""
    foreground: float = 0.5
    """Part of them that is drawn from the object's pixels, the others anywhere."""
    samples: int = 48
    """Read-outs along each ray in training, at random places of equal intervals."""
    importance: int = 0
    """Further ones, where a first pass finds something."""
    likelihood: Distance = "gaussian"
    """Gaussian is the squared distance, Laplace is L1, which on a white background may settle on nothing at all."""
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """RGB in [0, 1] behind everything, as in the data."""
    align_corners: bool = False
    """True for imported models: planes have values at the border of the cube."""
    cache: Path | None = None
    """Folder for rendered views; default $XDG_CACHE_HOME/ddmi or ~/.cache/ddmi."""

    def __post_init__(self) -> None:
        if min(self.items, self.size, self.cloud, self.num_queries, self.samples) < 1 or self.importance < 0:
            raise ValueError(
                "NerfModality: items, size, cloud, num_queries and samples count from 1 and importance from 0, got "
                f"{self.items}, {self.size}, {self.cloud}, {self.num_queries}, {self.samples} and {self.importance}"
            )
        if not 0 <= self.foreground <= 1 or self.noise < 0 or self.half <= 0:
            raise ValueError(
                "NerfModality: foreground is a part from 0 to 1, noise is not negative and half is positive; got "
                f"{self.foreground}, {self.noise} and {self.half}"
            )
        if not all(0 <= value <= 1 for value in self.background):
            raise ValueError(f"NerfModality: background is (red, green, blue) in [0, 1], got {self.background}")

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.triplane(align_corners=self.align_corners)

    @property
    def attribution(self) -> str | None:
        return OWN_DATA if self.source == "turntable" else super().attribution

    @property
    def RenderOptions(self) -> type[NerfRenderOptions]:
        return NerfRenderOptions

    @cached_property
    def extent(self) -> Extent:
        """The map between world and field coordinates."""
        return Extent.cube(self.half)

    def dataset(self, split: Split) -> DataSet[NerfItem]:
        """The split of `source`; ValueError where there is none."""
        return open_scenes(
            self.source, split, items=self.items, size=self.size, cache=self.cache,
            hold_out=self.hold_out, scale=self.scale,
        )  # fmt: skip

    def captions(self, item: NerfItem) -> tuple[str, ...]:
        return item.captions

    def inputs(self, items: Sequence[NerfItem]) -> tuple[Float[Tensor, "batch point 6"]]:
        """Coloured points of every item in field coordinates, colours in [-1, 1]; which ones, its name decides."""
        draws = [named_generator(item.name) for item in items]
        return self._points([item.cloud(self.cloud, rng) for item, rng in zip(items, draws, strict=True)])

    def _points(self, clouds: Sequence[np.ndarray]) -> tuple[Float[Tensor, "batch point 6"]]:
        points = torch.from_numpy(np.stack(clouds))
        return (torch.cat((self.extent.to_field(points[..., :3]), points[..., 3:] * 2 - 1), dim=-1),)

    def collate(self, items: Sequence[NerfItem], rng: Randomness) -> Batch[RayQuery]:
        """Noisy coloured points for the encoder; rays of all given views, half of them on the object."""
        clouds, origins, directions, targets = [], [], [], []
        for item, seed in zip(items, rng.integers(2**31, 1).flatten().tolist(), strict=True):
            draws = np.random.default_rng(seed)
            cloud = item.cloud(self.cloud, draws)
            cloud[:, :3] += draws.normal(0, self.noise, (self.cloud, 3))
            clouds.append(cloud)
            views = item.views("given", self.size)
            view, row, column = np.unravel_index(self._pixels(views.masks, draws), views.masks.shape)
            start, towards = views.cameras.rays(view, row, column)
            seen = views.images[view, row, column].astype(np.float32) / 255
            origins.append(start)
            directions.append(towards)
            targets.append(np.concatenate([seen, views.masks[view, row, column, None].astype(np.float32)], axis=1))
        return Batch(
            inputs=self._points(clouds),
            query=RayQuery(
                self.extent.to_field(torch.from_numpy(np.stack(origins))),
                torch.from_numpy(np.stack(directions)),
                rng.uniform(self.num_queries, self.samples),
            ),
            target=torch.from_numpy(np.stack(targets)),
        )

    def _pixels(self, masks: np.ndarray, draws: np.random.Generator) -> np.ndarray:
        """Flat indices of pixels over all views; none is on the object where there is no object."""
        near = np.flatnonzero(masks)
        wanted = round(self.num_queries * self.foreground) if len(near) else 0
        anywhere = draws.integers(masks.size, size=self.num_queries - wanted)
        return np.concatenate([draws.choice(near, wanted) if wanted else near[:0], anywhere])

    def predict(self, function: ImplicitFunction, query: RayQuery) -> Float[Tensor, "batch ray 4"]:
        """Rendered colour and opacity of the rays."""
        seen = render_rays(
            function, query.origins, query.directions, samples=self.samples, importance=self.importance,
            jitter=query.jitter, background=torch.tensor(self.background),
        )  # fmt: skip
        return torch.cat((seen.colour, seen.opacity), dim=-1)

    def nll(
        self, prediction: Float[Tensor, "batch ray 4"], target: Float[Tensor, "batch ray 4"]
    ) -> Float[Tensor, " batch"]:
        return LIKELIHOODS[self.likelihood](prediction[..., :3], target[..., :3])

    def memory(self, options: NerfRenderOptions, count: int) -> int:
        """Colour, depth and opacity of all pictures; the corners of one grid where meshes are asked for."""
        seen = [options.cameras(self.half), *([options.orbit_cameras(self.half)] if options.orbit else [])]
        pixels = sum(len(cameras) * cameras.rows * cameras.columns for cameras in seen)
        return (3 + 4 + 4 + 3 * options.depth) * count * pixels + options.mesh * 8 * (options.mesh_resolution + 1) ** 3

    @torch.no_grad()
    def render(self, function: ImplicitFunction, options: NerfRenderOptions) -> NerfRendering:
        """Pictures from the options' cameras, with what else they ask for."""
        self.check_memory(options, len(function))
        away = options.distance * self.half

        def see(one: ImplicitFunction, cameras: Cameras) -> Pictures:
            background = torch.tensor(self.background)
            return render_views(
                one, cameras, self.extent, samples=options.samples, background=background, cull=options.cull
            )

        seen = [see(one, options.cameras(self.half)) for one in function]
        near, far = away - self.half * 3**0.5, away + self.half * 3**0.5
        depth = [
            torch.stack([depth_picture(d, o, near, far) for d, o in zip(one.depth, one.opacity, strict=True)])
            for one in seen
            if options.depth
        ]
        resolution, orbit = options.mesh_resolution, options.orbit_cameras(self.half)
        return NerfRendering(
            torch.stack([one.colour for one in seen]),
            options,
            torch.stack(depth) if depth else None,
            tuple(see(one, orbit).colour for one in function) if options.orbit else (),
            tuple(coloured_mesh(one, self.extent, resolution) for one in function) if options.mesh else (),
        )

    def truth(self, items: Sequence[NerfItem], options: NerfRenderOptions) -> NerfRendering:
        """The scenes themselves from the options' cameras.  ValueError for photographs: none was taken from there."""
        cameras = options.cameras(self.half)
        return NerfRendering(torch.stack([torch.from_numpy(item.pictures(cameras)) for item in items]), options)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 point 6"]]:
        """A scene's folder or NPZ file, or a coloured point cloud (PLY), as the encoder's input.

        Raises ValueError naming the file.
        """
        return self._points([read_scene(Path(path), self.cloud, self.half, self.scale)])
