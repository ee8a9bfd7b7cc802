"""`ddmi table`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ddmi.commands.line import no_more


@dataclass(frozen=True, kw_only=True)
class Table:
    """Print the evaluations of runs as Markdown, beside the paper's numbers."""

    runs: Positional[tuple[Path, ...]] = ()
    """Runs that `ddmi evaluate` has measured."""
    paper: str | None = None
    """The data set of the paper to compare with, such as afhqv2-cat; default those of the runs' recipes."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.evaluation.table import markdown_table

        no_more(rest)
        if not self.runs:
            raise ValueError("table: name at least one run")
        print(markdown_table(self.runs, self.paper), end="")
