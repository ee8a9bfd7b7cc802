"""Evaluations of runs as one Markdown table, beside the numbers that the paper prints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ddmi.evaluation.run import read_evaluations
from ddmi_modalities.files.text import printable
from ddmi_modalities.spec import OFFLINE

Row = tuple[str, int | None]
"""A metric, and the resolution where it depends on it."""

PAPER: Mapping[str, Mapping[Row, float]] = MappingProxyType(
    {
        "celeba-hq": {
            ("fid-10k/fid", 64): 9.74,
            ("fid-10k/fid", 128): 8.73,
            ("fid-10k/fid", 256): 7.25,
            ("fid-10k/fid", 384): 10.44,
            ("precision-recall/precision", None): 0.734,
            ("precision-recall/recall", None): 0.408,
        },
        "afhqv2-cat": {
            ("fid-10k/fid", 128): 5.88,
            ("fid-10k/fid", 256): 4.27,
            ("fid-10k/fid", 384): 7.94,
            ("precision-recall/precision", None): 0.808,
            ("precision-recall/recall", None): 0.367,
        },
        "shapenet-chair": {
            ("MMD, normalisation not stated", None): 1.5,
            ("COV, normalisation not stated", None): 0.510,
        },
        "shapenet-13": {("MMD, normalisation not stated", None): 1.3, ("COV, normalisation not stated", None): 0.421},
        "text2shape": {("Acc, w = 3", None): 91.30, ("CLIP-S, w = 3", None): 30.30, ("TMD, w = 3", None): 0.204},
        "sky-timelapse": {("fvd/fvd", None): 66.25},
    }
)
"""DDMI's own rows of Tables 1, 2 and 4 to 7 of Park et al. 2024, by recipe.  FID is listed under the protocol of the
code that its authors released."""
WITHOUT_RESOLUTION = ("precision-recall/", "fvd/")
"""The paper prints these without one."""


def markdown_table(runs: Sequence[Path], paper: str | None = None) -> str:
    """A column a run, a row a metric; a column of the paper for every data set that it has numbers of.

    Args:
        runs: directories with `evaluations/*.json`, as `ddmi evaluate` writes them.
        paper: the data set of the paper to put beside the runs; default those that the runs' recipes are named after.

    Raises:
        ValueError: A directory holds no evaluation, or the paper has no such data set.
    """
    if paper is not None and paper not in PAPER:
        raise ValueError(f"the paper has no numbers of {paper!r}; choose one of {', '.join(PAPER)}")
    columns: dict[str, dict[Row, str]] = {}
    marks: dict[str, int] = {}
    sources: dict[str, str] = {}
    recipes: dict[str, None] = {}
    for run, name in zip(runs, _names(runs), strict=True):
        records = read_evaluations(run)
        if not records:
            raise ValueError(f"{run} holds no evaluation; run `ddmi evaluate {run}` first")
        columns[name] = {}
        for record in records:
            recipes[record.get("recipe", "")] = None
            sources[record["protocol"]] = record["comparable_with"]
            columns[name] |= _cells(record, marks)
    chosen = [paper] if paper is not None else [recipe for recipe in recipes if recipe in PAPER]
    for one in chosen:
        columns[f"paper, {one}"] = {row: f"{value:g}" for row, value in PAPER[one].items()}
    rows = sorted(
        {row for cells in columns.values() for row in cells}, key=lambda row: (metric_order(row[0]), row[1] or 0)
    )
    lines = [["metric", *columns], ["---", *["---:"] * len(columns)]]
    lines += [[_label(row), *(cells.get(row, "") for cells in columns.values())] for row in rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    notes = [f"- `{name}`: {citation}" for name, citation in sorted(sources.items())]
    notes += [f"- ({number}) not the protocol's own number: {deviations}" for deviations, number in marks.items()]
    return printable(text + "\n" + "\n".join(notes) + "\n")


def _cells(record: Mapping[str, Any], marks: dict[str, int]) -> dict[Row, str]:
    """Of one evaluation; a number in brackets refers to `marks`, where deviations are numbered as they come."""
    deviations = "; ".join(record["deviations"])
    mark = f" ({marks.setdefault(deviations, len(marks) + 1)})" if deviations else ""
    resolution = record["conditions"].get("resolution") if record["protocol"] != OFFLINE else None
    return {
        _row(key, resolution): f"{value:.4g}{mark}"
        for key, value in record["metrics"].items()
        if not any(part in ("count", "size", "points") for part in key.split("/"))
    }


def _row(key: str, resolution: int | None) -> Row:
    return (key, None if key.startswith(WITHOUT_RESOLUTION) else resolution)


def metric_order(name: str) -> list[tuple[int, str]]:
    """To sort names by, and by the numbers in them as numbers: 64 before 256."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _label(row: Row) -> str:
    metric, resolution = row
    return metric if resolution is None else f"{metric}, {resolution} px"


def _names(runs: Sequence[Path]) -> list[str]:
    """The directories' last names, or where these are not unique, the whole paths."""
    last = [run.resolve().name for run in runs]
    return last if len(set(last)) == len(last) else [str(run) for run in runs]
