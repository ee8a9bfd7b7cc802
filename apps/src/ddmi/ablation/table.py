"""The figures of an ablation as Markdown: means over seeds, and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ddmi.evaluation.table import metric_order


def ablation_table(figures: Mapping[str, Any]) -> str:
    """A row a metric that all runs have, a column a variant; `mean ± sample standard deviation` over seeds.

    Below, how much the others differ from the first one with the same seed: seeds differ more than variants do.

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
    described = f"\nMean and sample standard deviation of {count} seeds.\n\n" + "\n".join(notes) + "\n"
    return text + described + _paired_table(figures, rows)


def _paired_table(figures: Mapping[str, Any], rows: Sequence[str]) -> str:
    """What another variant gains over the first one, seed by seed, with the interval of the mean gain."""
    base, *others = figures
    seeds = sorted(set.intersection(*(set(variant["metrics"]) for variant in figures.values())))
    if len(seeds) < 2 or not others:
        return ""
    lines = [[f"minus `{base}`", *others], ["---", *["---:"] * len(others)]]
    for row in rows:
        values = {name: [variant["metrics"][seed][row] for seed in seeds] for name, variant in figures.items()}
        gains = [[a - b for a, b in zip(values[name], values[base], strict=True)] for name in others]
        lines.append([row, *map(_interval_cell, gains)])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"\nDifferences of runs of equal seed: mean, and its interval of 95 % (Student's t).\n\n{text}\n"


def _interval_cell(gains: Sequence[int | float]) -> str:
    from scipy.stats import t

    mean, count = statistics.fmean(gains), len(gains)
    reach = float(t.ppf(0.975, count - 1)) * statistics.stdev(gains) / count**0.5
    return f"{mean:+.3g} [{mean - reach:+.3g}, {mean + reach:+.3g}]"


def _cell(values: Sequence[int | float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.4g}" if len(values) < 2 else f"{mean:.4g} ± {statistics.stdev(values):.2g}"
