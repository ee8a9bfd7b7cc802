"""`ddmi recipes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ddmi.commands.line import PROGRAM, no_more


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the recipes and their presets."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.recipes import PRESETS, RECIPES

        no_more(rest)
        width = max(map(len, RECIPES))
        for name, recipe in sorted(RECIPES.items()):
            lacking = " or ".join(preset for preset in PRESETS if preset not in recipe.presets)
            print(f"{name:{width}}  {recipe.summary}{lacking and f'; no {lacking}'}")
        print(f"\npresets: {', '.join(PRESETS)}.  `{PROGRAM} train RECIPE --preset P --help` shows all settings.")
