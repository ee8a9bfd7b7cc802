"""The figures of an ablation as Markdown: means over seeds, and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ddmi.evaluation.table import metric_order


def ablation_table(figures: Mapping[str, Any]) -> str:
    """A row a metric that all runs have, a column a variant; `mean ± sample standard deviation` over seeds.

    Args:
        figures: of each variant its `summary`, `parameters` and `metrics` by seed.
    """
    runs = [metrics for variant in figures.values() for metrics in variant["metrics"].values()]
    shared = set.intersection(*(set(metrics) for metrics in runs))
    rows = sorted((name for name in shared if not name.startswith(("count/", "size/"))), key=metric_order)
    lines = [["", *figures], ["---", *["---:"] * len(figures)]]
    lines.append(["parameters after the latent", *(f"{variant['parameters']:,}" for variant in figures.values())])
    for row in rows:
        cells = [_cell([metrics[row] for metrics in variant["metrics"].values()]) for variant in figures.values()]
        lines.append([row, *cells])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    notes = [f"- `{name}`: {variant['summary']}" for name, variant in figures.items()]
    count = len(next(iter(figures.values()))["metrics"])
    return f"{text}\nMean and sample standard deviation of {count} seeds.\n\n" + "\n".join(notes) + "\n"


def _cell(values: Sequence[int | float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.4g}" if len(values) < 2 else f"{mean:.4g} ± {statistics.stdev(values):.2g}"
