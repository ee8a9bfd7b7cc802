"""Pages without a server: what they may ask is answered while they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddmi.explorer.explored import Explored, HowToSample, data_uri
from ddmi.explorer.page import document
from ddmi.explorer.questions import address
from ddmi.explorer.samples import Sample
from ddmi_modalities.exploration import Asked
from ddmi_modalities.files.whole import whole
from ddmi_modalities.progress import progress


def write_page(models: Sequence[Explored], how: HowToSample, path: Path, prompts: Sequence[str] = ()) -> None:
    """One file with functions of each model, to look at without anything else.

    Args:
        models: in the order of the page.
        how: each is sampled.
        path: of the file; it is there as a whole or not at all.
        prompts: for models that take some, one function each; none: `how` says.
    """
    described = []
    for model in models:
        if not model.model.can_sample:
            raise ValueError(f"{model.name} has no second stage yet, so a page without a server would show nothing")
        asked = [replace(how, count=1, prompt=prompt) for prompt in prompts] if model.model.can_prompt else []
        samples = [sample for one in asked or [how] for sample in model.sample(one)]
        described.append({**model.description(), "functions": list(_answered(model, samples))})
    data = {"live": False, "models": described}
    title = "DDMI: " + ", ".join(model.name for model in models)
    page = document([model.exploration for model in models], data, title)
    with whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _answered(model: Explored, samples: Sequence[Sample]) -> Iterable[dict[str, Any]]:
    exploration, modality = model.exploration, model.model.experiment.modality
    questions = [exploration.picture, *exploration.ahead(modality)]
    for sample in progress(samples, what=f"{model.name}: looking at {len(samples)} functions"):
        yield {**model.shown(sample), "answers": {address(one): _answer(model, sample, one) for one in questions}}


def _answer(model: Explored, sample: Sample, asked: Asked) -> str:
    question, _, words = address(asked).partition("?")
    params = dict(pair.split("=", 1) for pair in words.split("&") if pair)
    return data_uri(model.answer(sample.name, question, params))
