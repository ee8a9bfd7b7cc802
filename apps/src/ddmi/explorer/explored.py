"""A model that is explored: what a page may know of it and ask it to do."""

from __future__ import annotations

import base64
import itertools
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ddmi.analysis.interpolation import interpolated
from ddmi.analysis.neighbours import KnownItems
from ddmi.analysis.scales import without_scale
from ddmi.explorer.questions import address, question_of
from ddmi.explorer.samples import Sample, Samples, UnknownName
from ddmi.pipeline import DDMI
from ddmi.registry import spec_of
from ddmi_diffusion.schedulers import samplers_of
from ddmi_modalities.exploration import Content, Exploration
from ddmi_modalities.metrics.features import EfficientNetLiteFeatures

MOST_AT_ONCE, MOST_STEPS, MOST_PARTS = 64, 1000, 33
TOGETHER = 4
"""Functions that are sampled at once: a wall fills as they come."""
TRAINING = 500
"""Training items among which the nearest are looked for."""


@dataclass(frozen=True, kw_only=True)
class HowToSample:
    """What a page asks a sampler for; checked like any question."""

    seed: int = 0
    start: int = 0
    """Number of the first."""
    count: int = 8
    steps: int = 0
    """0: the model's own."""
    sampler: str = ""
    """Empty: the model's own."""
    guidance: float = -1.0
    """Negative: the model's own."""
    prompt: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_AT_ONCE or not 0 <= self.steps <= MOST_STEPS:
            raise ValueError(
                f"count is from 1 to {MOST_AT_ONCE} and steps to {MOST_STEPS}, got {self.count} and {self.steps}"
            )
        if not 0 <= self.start < 2**31 or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed and start count from 0, got {self.seed} and {self.start}")
        if not self.guidance <= 100:
            raise ValueError(f"guidance is at most 100, got {self.guidance}")
        if len(self.prompt) > 500:
            raise ValueError(f"prompt: at most 500 letters, got {len(self.prompt)}")

    @property
    def options(self) -> dict[str, Any]:
        """Of `DDMI.sample_latents`, but for what noise it begins with."""
        return dict(
            num_steps=self.steps or None,
            sampler=self.sampler or None,
            prompts=self.prompt or None,
            guidance_scale=None if self.guidance < 0 else self.guidance,
        )

    @property
    def label(self) -> str:
        return f"“{self.prompt}”" if self.prompt else ""


@dataclass(frozen=True, kw_only=True)
class HowToGoBetween:
    """What a page asks for on the way from one function to another, both by their names."""

    first: str = ""
    second: str = ""
    parts: int = 9

    def __post_init__(self) -> None:
        if not 2 <= self.parts <= MOST_PARTS:
            raise ValueError(f"parts are from 2 to {MOST_PARTS}, got {self.parts}")


@dataclass(eq=False)
class Explored:
    """A model and the functions that came from it."""

    name: str
    """For people, and for addresses of this model."""
    model: DDMI
    samples: Samples = field(init=False)
    counter: Iterator[int] = field(init=False, default_factory=itertools.count)
    sitting: str = field(init=False, default_factory=lambda: secrets.token_hex(3))
    """In the names of functions: browsers keep answers, and must not show those of an earlier explorer."""

    def __post_init__(self) -> None:
        self.model.eval()
        self.samples = Samples(self.model.vae.function)

    @cached_property
    def exploration(self) -> Exploration:
        return spec_of(self.model.experiment.modality).exploration_of()

    def description(self) -> dict[str, Any]:
        """What a page has to know, as JSON."""
        experiment, exploration = self.model.experiment, self.exploration
        can = self.model.can_sample
        return {
            "name": self.name,
            "view": exploration.view,
            "recipe": experiment.recipe,
            "attribution": self.model.attribution,
            "facts": exploration.facts(experiment.modality),
            "picture": address(exploration.picture),
            "downloads": {end: address(asked) for end, asked in exploration.downloads.items()},
            "can_sample": can,
            "can_prompt": self.model.can_prompt,
            "guided": can and (self.model.guide is not None or self.model.can_prompt),
            "guidance": experiment.diffusion.guidance_scale,
            "samplers": self.samplers if can else [],
            "steps": {name: self.model.steps_of(name) for name in self.samplers} if can else {},
        }

    @cached_property
    def samplers(self) -> list[str]:
        """Those that its noise has, the recipe's first."""
        own = self.model.experiment.diffusion.sampler
        known = samplers_of(self.model.experiment.diffusion.noise)
        here = [name for name in known if name != "mean-flow" or self.model.mean_flow is not None]
        return [own, *(name for name in here if name != own)]

    def sample(self, how: HowToSample) -> Iterator[Sample]:
        """Generated functions, a few at a time."""
        end = how.start + how.count
        for start in range(how.start, end, TOGETHER):
            count = min(TOGETHER, end - start)
            made = self.model.sample_latents(count, seed=how.seed, start=start, **how.options)
            for number, latent in enumerate(self._unpacked(made), start):
                at = (how.seed, number)
                label = f"seed {at[0]}, number {at[1]}" + (f": {how.label}" if how.label else "")
                yield self._keep(label, latent, at, how.options)

    def between(self, how: HowToGoBetween) -> Iterator[Sample]:
        """Functions on the way from one that grew from noise to another."""
        first, second = self.samples[how.first], self.samples[how.second]
        if first.noise is None or second.noise is None:
            raise ValueError("between: both ends must have been sampled; a file that was encoded grew from no noise")
        if first.how != second.how:
            raise ValueError("between: both ends must have been sampled alike; sample them with one prompt and sampler")
        noise = torch.cat([self.model.noise([number], seed=seed) for seed, number in (first.noise, second.noise)])
        for part, latent in enumerate(self._unpacked(interpolated(self.model, noise, how.parts, **first.how))):
            yield self._keep(f"{part} / {how.parts - 1} of the way", latent)

    def encode(self, name: str, data: bytes) -> Sample:
        """The function of a file of the user.  ValueError naming it for what cannot be read."""
        name = Path(name.replace("\\", "/")).name or "file"
        suffix = Path(name).suffix
        if not re.fullmatch(r"\.\w{1,8}", suffix):
            raise ValueError(f"{name!r} has no usual end, such as .png")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"upload{suffix}"
            path.write_bytes(data)
            try:
                inputs = self.model.experiment.modality.read(path)
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), name)) from None
        with torch.no_grad():
            mean = self.model.vae.encode(tuple(one.to(self.model.device) for one in inputs)).mean
        return self._keep(name, mean)

    def answer(self, name: str, question: str, params: Mapping[str, str]) -> Content:
        """What a function shows.  `UnknownName` for an unknown function or question, ValueError for a wrong one.

        `without` in the parameters lists scales that are switched off, such as 1,3.
        """
        if question not in self.exploration.questions:
            known = ", ".join(self.exploration.questions)
            raise UnknownName(f"there is no question {question!r}; known: {known}")
        words = dict(params)
        off = [word for word in words.pop("without", "").split(",") if word]
        asked = question_of(self.exploration.questions[question], words)
        if not all(word.isdigit() for word in off):
            raise ValueError(f"without: numbers of scales, such as 1,3, got {off}")
        with torch.no_grad():
            function = self.samples.function(name)
            for scale in off:
                function = without_scale(function, int(scale))
            return asked.answer(self.model.experiment.modality, function)

    def shown(self, sample: Sample) -> dict[str, Any]:
        """What a page has to know of a function, as JSON."""
        with torch.no_grad():
            scales = len(self.samples.function(sample.name).basis.fields)
        return {"name": sample.name, "label": sample.label, "grown": sample.noise is not None, "scales": scales}

    def latent_file(self, name: str) -> bytes:
        """The latent planes as a safetensors file."""
        planes = {f"plane.{i}": plane.cpu().contiguous() for i, plane in enumerate(self.samples[name].latent)}
        return save(planes, {"model": self.name, "function": self.samples[name].label})

    def nearest(self, name: str, count: int = 4) -> Iterator[dict[str, Any]]:
        """How far it is, step by step, then the training items that look most like it, with their cosine distances."""
        function = self.samples.function(name)
        while not self._items.complete:
            with torch.no_grad():
                self._items.look(TOGETHER)
            done, total = len(self._items.features), len(self._items.chosen)
            yield {"what": "looking at training items", "progress": round(done / total, 3)}
        with torch.no_grad():
            (found,) = self._items.nearest(function, count)
        rows = zip(map(Content.picture, found.nearest), found.distances, strict=True)
        yield {"nearest": [{"picture": data_uri(shown), "distance": round(distance, 4)} for shown, distance in rows]}

    @cached_property
    def _items(self) -> KnownItems:
        modality = self.model.experiment.modality
        network = EfficientNetLiteFeatures(self.model.device)
        return KnownItems(modality, modality.RenderOptions(), network, training=TRAINING)

    @torch.no_grad()
    def _unpacked(self, packed: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        assert self.model.latent_space is not None
        planes = self.model.latent_space.unpack(packed.to(self.model.device))
        for i in range(len(packed)):
            yield tuple(plane[i : i + 1].clone() for plane in planes)

    def _keep(self, label: str, latent: Sequence[torch.Tensor], *origin: Any) -> Sample:
        """`origin` is the rest of a `Sample`."""
        return self.samples.add(Sample(f"{self.sitting}-{next(self.counter)}", label, tuple(latent), *origin))


def data_uri(content: Content) -> str:
    """The content itself as an address."""
    return f"data:{content.media};base64,{base64.b64encode(content.data).decode()}"


def named(names: Sequence[str], models: Sequence[DDMI]) -> dict[str, Explored]:
    """Each under a name that can stand in an address, and that no other has."""
    found: dict[str, Explored] = {}
    for name, model in zip(names, models, strict=True):
        word = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "model"
        numbered = (f"{word}-{i}" for i in itertools.count(2))
        free = next(one for one in itertools.chain([word], numbered) if one not in found)
        found[free] = Explored(free, model)
    return found
