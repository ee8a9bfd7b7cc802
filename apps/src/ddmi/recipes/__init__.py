"""Recipes: functions from a preset's name to an `Experiment`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ddmi.experiment import Experiment
from ddmi.recipes.images import image_folder, openmoji
from ddmi.recipes.scenes import srn_cars, turntable
from ddmi.recipes.shapes import furniture, furniture_text, shape_folder
from ddmi.recipes.videos import moving_openmoji, sky_timelapse

__all__ = ["PRESETS", "RECIPES", "Recipe", "make_experiment", "with_text_weights"]

PRESETS = ("test", "demo", "small", "paper")


@dataclass(frozen=True)
class Recipe:
    """What `ddmi recipes` lists."""

    make: Callable[[str], Experiment]
    summary: str
    needs_data: bool = False
    """Whether `--data PATH` must name the data."""


RECIPES: dict[str, Recipe] = {
    "openmoji": Recipe(openmoji, "OpenMoji drawings (embedded; CC BY-SA 4.0), true at every resolution"),
    "images": Recipe(image_folder, "a folder of your images (--data PATH)", needs_data=True),
    "furniture": Recipe(furniture, "3D chairs and tables (embedded, procedural) as occupancy functions"),
    "furniture-text": Recipe(furniture_text, "3D chairs and tables from a sentence"),
    "turntable": Recipe(turntable, "radiance fields of coloured furniture and cars (embedded, procedural)"),
    "srn-cars": Recipe(srn_cars, "radiance fields from your posed views, or SRN Cars (--data PATH)", needs_data=True),
    "shapes": Recipe(shape_folder, "your meshes, or ShapeNet of occupancy networks (--data PATH)", needs_data=True),
    "moving-openmoji": Recipe(moving_openmoji, "clips of moving OpenMoji drawings (embedded), true at every time"),
    "sky-timelapse": Recipe(sky_timelapse, "your videos: files, or folders of frames (--data PATH)", needs_data=True),
}


def make_experiment(recipe: str, preset: str, data: str | None = None) -> Experiment:
    """The experiment of a recipe and preset; `data` replaces where its data come from."""
    if recipe not in RECIPES:
        near = difflib.get_close_matches(recipe, RECIPES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(sorted(RECIPES))}"
        raise ValueError(f"unknown recipe {recipe!r}; {hint} (`ddmi recipes` lists them)")
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r} of {recipe!r}; choose one of {', '.join(PRESETS)}")
    entry = RECIPES[recipe]
    if entry.needs_data and data is None:
        raise ValueError(f"recipe {recipe!r} has no data of its own; name them with --data PATH")
    experiment = entry.make(preset)
    return experiment if data is None else replace(experiment, modality=replace(experiment.modality, source=data))


def with_text_weights(experiment: Experiment, source: str) -> Experiment:
    """The experiment with a pretrained, frozen text tower.  ValueError where it has no text, or no tower is there."""
    from ddmi_modalities.text.tower import pretrained_tower

    if experiment.diffusion.text is None:
        raise ValueError(f"recipe {experiment.recipe!r} has no text; --text-weights is for furniture-text")
    return replace(experiment, diffusion=replace(experiment.diffusion, text=pretrained_tower(source).config))
