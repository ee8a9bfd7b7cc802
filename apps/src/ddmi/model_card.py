"""What stands beside a model that is handed on: what it is of, whose data, how it was made, how it is used."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from ddmi.experiment.config import Experiment
from ddmi.registry import word_of
from ddmi_diffusion.stored_precision import Precision

VERSIONS = ("ddmi", "ddmi-diffusion", "ddmi-vae", "ddmi-fields", "ddmi-modalities", "torch")


ROUNDED: Mapping[Precision, str] = {
    "full": "",
    "half": "\nMeasured before weights were rounded to half precision.\n",
    "int8": "\nMeasured before weights were rounded to eight bits, those of the autoencoder to sixteen.\n",
}


CARD = """---
library_name: ddmi
tags: [ddmi, {kind}, implicit-neural-representation, latent-diffusion]
---

# {name}

Generates functions of the kind "{kind}": recipe `{recipe}`, preset `{preset}`.

```python
from ddmi import DDMI

model = DDMI.from_pretrained("{source}")
functions = model.sample(4, seed=0{prompt})
```

## Data

{data}

## Training

`ddmi train {recipe} --preset {preset}`, seed {seed}: {first} for the autoencoder, {second} for latent diffusion.
All settings are in config.json.  Made with {versions}.
"""


def model_card(
    experiment: Experiment,
    name: str,
    figures: Mapping[str, float],
    *,
    source: str | None = None,
    precision: Precision = "full",
    attribution: str | None = None,
) -> str:
    """README.md of a model, with the header that the Hugging Face hub reads.

    Args:
        experiment: How it was made.
        name: Of its directory.
        figures: What was measured of it.
        source: Where it is loaded from, if elsewhere than a directory of that name.
        precision: Of its files; what was measured is of full precision.
        attribution: Whose the data are, where the model's own files say so.
    """
    first, second = experiment.vae_training, experiment.diffusion_training
    unknown = "Nobody told whose the data are: ask who made the model before you publish what it makes."
    card = CARD.format(
        kind=word_of(type(experiment.modality)).removeprefix("modality/"),
        name=name,
        source=source or name,
        recipe=experiment.recipe,
        preset=experiment.preset,
        prompt="" if experiment.diffusion.text is None else ', prompts="a round table"',
        data=attribution or experiment.attribution or unknown,
        seed=first.seed,
        first=f"{first.steps} steps of {first.batch_size}",
        second=f"{second.steps} steps of {second.batch_size}",
        versions=", ".join(f"{one} {importlib.metadata.version(one)}" for one in VERSIONS),
    )
    rows = [f"| {figure} | {value:.4g} |" for figure, value in sorted(figures.items())]
    table = "\n## Figures\n\n| figure | measured |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return card + (table + ROUNDED[precision] if rows else "")
