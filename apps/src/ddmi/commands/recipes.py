"""`ddmi recipes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ddmi.commands.line import PROGRAM, no_more


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the recipes and their presets."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.recipes import PRESETS
        from ddmi.registry import recipes

        no_more(rest)
        known = recipes()
        width = max(map(len, known))
        for name, recipe in sorted(known.items()):
            lacking = ", ".join(preset for preset in PRESETS if preset not in recipe.presets)
            print(f"{name:{width}}  {recipe.summary}{lacking and f'; no {lacking}'}")
        print(f"\npresets: {', '.join(PRESETS)}.  `{PROGRAM} train RECIPE --preset P --help` shows all settings.")
