"""Recipes: functions from the names of a recipe and a preset to an `Experiment`."""

from __future__ import annotations

import difflib
from dataclasses import replace

from ddmi.experiment import Experiment
from ddmi.recipes.images import image_recipes
from ddmi.recipes.recipe import ALL, Recipe
from ddmi.recipes.scenes import scene_recipes
from ddmi.recipes.shapes import shape_recipes
from ddmi.recipes.videos import video_recipes

__all__ = ["PRESETS", "RECIPES", "Recipe", "make_experiment", "with_text_weights"]

PRESETS = ALL
RECIPES: dict[str, Recipe] = {**image_recipes(), **shape_recipes(), **scene_recipes(), **video_recipes()}


def make_experiment(recipe: str, preset: str, data: str | None = None) -> Experiment:
    """The experiment of a recipe and preset; `data` replaces where its data come from."""
    if recipe not in RECIPES:
        near = difflib.get_close_matches(recipe, RECIPES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(sorted(RECIPES))}"
        raise ValueError(f"unknown recipe {recipe!r}; {hint} (`ddmi recipes` lists them)")
    entry = RECIPES[recipe]
    if preset not in entry.presets:
        raise ValueError(f"recipe {recipe!r} has no preset {preset!r}; choose one of {', '.join(entry.presets)}")
    if entry.needs_data and data is None:
        raise ValueError(f"recipe {recipe!r} has no data of its own; name them with --data PATH")
    experiment = entry.make(recipe, preset)
    return experiment if data is None else replace(experiment, modality=replace(experiment.modality, source=data))


def with_text_weights(experiment: Experiment, source: str) -> Experiment:
    """The experiment with a pretrained, frozen text tower.  ValueError where it has no text, or no tower is there."""
    from ddmi_modalities.text.tower import pretrained_tower

    if experiment.diffusion.text is None:
        raise ValueError(f"recipe {experiment.recipe!r} has no text; see furniture-text and text2shape")
    return replace(experiment, diffusion=replace(experiment.diffusion, text=pretrained_tower(source).config))
