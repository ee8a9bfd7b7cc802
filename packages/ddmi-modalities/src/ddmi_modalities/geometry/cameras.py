"""Where pictures are taken from: pinhole cameras of one picture size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from ddmi_modalities.geometry.unit_cube import FAR

AZIMUTH, ELEVATION, DISTANCE, FIELD_OF_VIEW = 35.0, 25.0, 2.9, 30.0
"""Of the usual picture of a shape, in degrees and world units: it cuts nothing off from any azimuth but the corners of
a shape that fills the unit cube like a box (which needs a distance of 3.25)."""

RIGID = 1e-3
"""How far a rotation's R R^T may be from the identity: text files of poses have four digits or more."""

WIDEST = 160.0
"""Degrees that a pinhole camera can be said to see from edge to edge; a number that gives more means something else."""

OFF_CENTRE = 0.2
"""How far from a picture's middle, as a part of its side, a principal point may be whose picture's size is not said."""

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenGL's camera axes (x right, y up, z backward) to OpenCV's, and back."""

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""From a world whose z is up to ours, whose y is up: (x, y, z) becomes (x, z, -y)."""


@dataclass(frozen=True, eq=False)
class Cameras:
    """Pinhole cameras without distortion, OpenCV style: x right, y down, z forward.

    Pixel coordinates are (x, y) from the outer corner of the first pixel; the pixel in row r and column c has its
    centre at (c + 0.5, r + 0.5).

    Raises:
        ValueError: Shapes disagree, a pose is not rigid, or a number is not finite.
    """

    to_world: Float64[np.ndarray, "view 4 4"]
    """Camera-to-world matrices."""
    focal: Float64[np.ndarray, "view 2"]
    """fx, fy in pixels."""
    centre: Float64[np.ndarray, "view 2"]
    """Principal point cx, cy in pixels."""
    rows: int
    columns: int

    def __post_init__(self) -> None:
        count = len(self.to_world)
        if len(self.focal) != count or len(self.centre) != count:
            raise ValueError(
                f"Cameras: {count} poses, {len(self.focal)} focal lengths and {len(self.centre)} principal points; "
                "give one of each for every view"
            )
        if self.rows < 1 or self.columns < 1:
            raise ValueError(
                f"Cameras: wanted at least one row and column of pixels, got {self.rows} x {self.columns}; give the "
                "size of the pictures"
            )
        if not (np.isfinite(self.focal).all() and np.isfinite(self.centre).all() and (self.focal > 0).all()):
            raise ValueError(
                "Cameras: wanted finite principal points and focal lengths above 0, in pixels; check the intrinsics"
            )
        check_poses(self.to_world, [f"the pose of view {view}" for view in range(count)])

    @classmethod
    def around(
        cls,
        azimuths: Sequence[int | float] | Float64[np.ndarray, " view"],
        elevations: Sequence[int | float] | Float64[np.ndarray, " view"],
        *,
        distance: float = DISTANCE,
        field_of_view: float = FIELD_OF_VIEW,
        size: int,
    ) -> Cameras:
        """Square pictures of the world's centre from these directions.

        Args:
            azimuths: Degrees about the y axis: 0 looks at the front (the camera is on +z), 90 is on +x.
            elevations: Degrees above the horizon, from -90 to 90.
            distance: From the centre, in world units.
            field_of_view: Degrees from the upper to the lower edge of a picture.
            size: Pixels a side.
        """
        if not all(-90 <= elevation <= 90 for elevation in elevations):
            raise ValueError(f"Cameras: elevations go from -90 to 90 degrees, got {list(elevations)}")
        if not (0 < field_of_view < 180 and distance > 0):
            raise ValueError(
                "Cameras: wanted a positive distance and a field of view between 0 and 180 degrees, got "
                f"{distance} and {field_of_view}"
            )
        poses = [_looking_at_centre(float(a), float(e), distance) for a, e in zip(azimuths, elevations, strict=True)]
        focal = size / 2 / np.tan(np.radians(field_of_view) / 2)
        both = np.ones((len(poses), 2))
        return cls(np.stack(poses), focal * both, size / 2 * both, size, size)

    @classmethod
    def orbit(
        cls,
        count: int,
        *,
        elevation: float = ELEVATION,
        distance: float = DISTANCE,
        field_of_view: float = FIELD_OF_VIEW,
        size: int,
        start_azimuth: float = AZIMUTH,
    ) -> Cameras:
        """A circle round the y axis in `count` equal steps, see `around`."""
        if count < 1:
            raise ValueError(f"Cameras.orbit: wanted at least one camera, got {count}; ask for more")
        azimuths = start_azimuth + 360 * np.arange(count) / count
        return cls.around(azimuths, [elevation] * count, distance=distance, field_of_view=field_of_view, size=size)

    def __len__(self) -> int:
        return len(self.to_world)

    def __getitem__(self, views: slice | Int[np.ndarray, " chosen"]) -> Cameras:
        return replace(self, to_world=self.to_world[views], focal=self.focal[views], centre=self.centre[views])

    @property
    def positions(self) -> Float64[np.ndarray, "view 3"]:
        return self.to_world[:, :3, 3]

    def rays(
        self, views: Int[np.ndarray, " ray"], rows: Int[np.ndarray, " ray"], columns: Int[np.ndarray, " ray"]
    ) -> tuple[Float32[np.ndarray, "ray 3"], Float32[np.ndarray, "ray 3"]]:
        """Origins and unit directions, in the world, of the rays through the centres of these pixels."""
        plane = (np.stack([columns, rows], axis=-1) + 0.5 - self.centre[views]) / self.focal[views]
        poses = self.to_world[views]
        directions = poses[:, :3, 2] + (poses[:, :3, :2] @ plane[..., None])[..., 0]
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        return poses[:, :3, 3].astype(np.float32), directions.astype(np.float32)

    def image_rays(self, view: int) -> tuple[Float32[np.ndarray, "pixel 3"], Float32[np.ndarray, "pixel 3"]]:
        """`rays` of all pixels of a view, row by row."""
        rows, columns = np.indices((self.rows, self.columns)).reshape(2, -1)
        return self.rays(np.full(len(rows), view), rows, columns)

    def project(
        self, points: Float[np.ndarray, "point 3"]
    ) -> tuple[Float64[np.ndarray, "view point 2"], Float64[np.ndarray, "view point"]]:
        """Pixel coordinates (x, y) of world points in every view, and their depths along the camera's z axis.

        Of points at or behind a camera (depth 0 or less) the pixel coordinates mean nothing.
        """
        local = (np.asarray(points, np.float64) - self.positions[:, None]) @ self.to_world[:, :3, :3]
        with np.errstate(divide="ignore", invalid="ignore"):  # at a camera
            pixels = local[..., :2] / local[..., 2:] * self.focal[:, None] + self.centre[:, None]
        return pixels, local[..., 2]

    def resized(self, rows: int, columns: int) -> Cameras:
        """The same views in pictures of another size."""
        ratio = np.array([columns / self.columns, rows / self.rows])
        return replace(self, focal=self.focal * ratio, centre=self.centre * ratio, rows=rows, columns=columns)

    def in_world(self, turn: Float64[np.ndarray, "3 3"], scale: float) -> Cameras:
        """The cameras in a world that is turned by a rotation and then `scale` times as large."""
        poses = self.to_world.copy()
        poses[:, :3] = turn @ poses[:, :3]
        poses[:, :3, 3] *= scale
        return replace(self, to_world=poses)


def _looking_at_centre(azimuth: float, elevation: float, distance: float) -> Float64[np.ndarray, "4 4"]:
    """The camera-to-world matrix: columns are x (right), y (down), z (forward) and the position."""
    turn, lift = np.radians([azimuth, elevation])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    forward = -np.array([np.sin(turn) * np.cos(lift), np.sin(lift), np.cos(turn) * np.cos(lift)])
    matrix = np.eye(4)
    matrix[:3] = np.stack([right, np.cross(forward, right), forward, -distance * forward], axis=1)
    return matrix


def check_poses(poses: Float64[np.ndarray, "view 4 4"], names: Sequence[str]) -> None:
    """ValueError that says what is wrong with the first matrix that is not a rigid camera-to-world transform."""
    finite = np.isfinite(poses).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            f"{names[int(np.argmin(finite))]} has numbers that are NaN or infinite; repair it or remove the view"
        )
    distance = np.abs(poses[:, :3, 3]).max(axis=1)
    if distance.max(initial=0) > FAR:
        raise ValueError(
            f"{names[int(np.argmax(distance))]} is {distance.max():.3g} from the origin; repair it, or move and scale "
            "the scene into the unit cube"
        )
    rotations = poses[:, :3, :3]
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that no rotation has
        off = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0)
        handed, below = np.linalg.det(rotations), np.abs(poses[:, 3] - [0, 0, 0, 1]).max(axis=1, initial=0)
    rigid = (off <= RIGID) & (handed > 0) & (below <= RIGID)
    if not rigid.all():
        view = int(np.argmin(rigid))
        raise ValueError(
            f"{names[view]} is not rigid: wanted a rotation, a position and the last row 0 0 0 1, got R R^T off the "
            f"identity by {off[view]:.2g}, determinant {handed[view]:.3g} and last row {poses[view, 3].tolist()}; "
            "write camera-to-world matrices without scale or mirror"
        )


def check_lenses(cameras: Cameras, names: Sequence[str], *, sized: bool) -> None:
    """ValueError that says what is wrong with the first camera whose numbers cannot be those of its pictures.

    Args:
        cameras: With focal lengths and principal points in pixels of their pictures.
        names: What each is called: the file and the picture.
        sized: Whether the data say what size of picture their numbers are about.
    """
    size = np.array([cameras.columns, cameras.rows])
    angles = 2 * np.degrees(np.arctan(size / 2 / cameras.focal))
    remedy = "write focal lengths and principal points in pixels, and w and h where those are of another picture size"
    for name, (fx, fy), (cx, cy), (across, down) in zip(names, cameras.focal, cameras.centre, angles, strict=True):
        if not (0 < cx < size[0] and 0 < cy < size[1]):
            raise ValueError(
                f"{name}: the principal point ({cx:g}, {cy:g}) is not in the picture of {size[0]} x {size[1]} pixels; "
                f"{remedy}"
            )
        if max(across, down) > WIDEST:
            raise ValueError(
                f"{name}: with a focal length of ({fx:g}, {fy:g}) it would see {max(across, down):.0f} degrees of a "
                f"pinhole's picture of {size[0]} x {size[1]} pixels; {remedy}"
            )
        if not sized and np.abs(np.array([cx, cy]) / size - 0.5).max() > OFF_CENTRE:
            raise ValueError(
                f"{name}: the principal point ({cx:g}, {cy:g}) is far from the middle of the picture of {size[0]} x "
                f"{size[1]} pixels; {remedy}"
            )


def check_aspect(name: str, said: tuple[int | float, int | float], pictures: tuple[int, int]) -> None:
    """ValueError where numbers are about pictures of another aspect than the pictures have; both as columns, rows.

    Reduced sizes are rounded, so that the shorter side may be a pixel off.
    """
    (wide, high), (columns, rows) = said, pictures
    if abs(columns * high / wide - rows) > 1 + 0.01 * rows and abs(rows * wide / high - columns) > 1 + 0.01 * columns:
        raise ValueError(
            f"{name}: its cameras are about pictures of {wide:g} x {high:g} pixels, and the pictures have {columns} x "
            f"{rows}; give the pictures that the cameras were found for, cropped by nobody, or correct the numbers"
        )


def looking_away(cameras: Cameras) -> float:
    """The share of the cameras that have the world's origin, where a scene is, behind them."""
    _, depth = cameras.project(np.zeros((1, 3)))
    return float((depth <= 0).mean())
