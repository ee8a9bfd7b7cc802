"""The seam between a kind of signal and everything else: what a modality must be able to do.

To add a modality, write one class with the members of `Modality` and a `ModalitySpec` that names it, in a
distribution of your own: see docs/how-to/modality.md.  The autoencoder sees `inputs`, calls `predict` and `nll`, and
never looks into the query; the command line parses `RenderOptions` and saves a `Rendering`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from typing_extensions import TypeVar

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.datasets.attribution import attribution_of
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.memory import check_fits
from ddmi_vae import Randomness

OWN_DATA = "Made by rules that come with ddmi (MIT); nobody else's data."
"""What is said of procedural data."""

Item_co = TypeVar("Item_co", covariant=True)
Item = TypeVar("Item", default=Any)
Query = TypeVar("Query", default=Any)
Options = TypeVar("Options", default=Any)
Rendered = TypeVar("Rendered", bound="Rendering", default=Any)
Kind = TypeVar("Kind", bound="Modality[Any, Any, Any, Any]")


@dataclass(frozen=True)
class Batch(Generic[Query]):
    """One training step's data."""

    inputs: tuple[Tensor, ...]
    """What the encoder reads: for images a 1-tuple of (batch, 3, size, size) in [-1, 1]."""
    query: Query
    """Where the function is read out: a tensor, or a dataclass or tuple of tensors, which the trainer moves to its
    device.  Only the modality that made it looks inside."""
    target: Float[Tensor, "batch query channel"]
    """The true values there, in the order of `predict`'s result."""

    def __len__(self) -> int:
        return len(self.target)


@runtime_checkable
class Rendering(Protocol):
    """Something rendered from a batch of functions: images, meshes, clips."""

    def __len__(self) -> int:
        """How many functions it shows."""

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Write a file per function (000.png, ..., from `start`), making the directory; returns their paths."""

    def save_sheet(self, path: Path) -> None:
        """Write one picture of all of them, making its directory."""


@runtime_checkable
class DataSet(Protocol[Item_co]):
    """A map-style data set.  Items may be lazy: `collate` asks them for what a step needs, at the size it needs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Item_co: ...


@runtime_checkable
class Described(Protocol):
    """A data set that can say more of itself than its length."""

    def describe(self) -> str: ...


@runtime_checkable
class Digested(Protocol):
    """A data set that knows whether its content is that of before, without handing out every item."""

    def digest(self) -> str:
        """Another text as soon as any item is another one: of files a hash, of what is drawn the version of that."""


@runtime_checkable
class FunctionSource(Protocol):
    """A trained model, as evaluations and reports see it."""

    @property
    def can_sample(self) -> bool:
        """Whether there is a second stage; without it `sample` and `prior` are not called."""

    @property
    def can_prompt(self) -> bool:
        """Whether `sample` takes prompts."""

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        """The functions of the posterior means of `Modality.inputs(...)`, on any device."""

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        start: int = 0,
        prompts: str | Sequence[str] | None = None,
        guidance_scale: float | None = None,
    ) -> ImplicitFunction:
        """Generated functions number `start` to `start + count`; each depends on (seed, its number) only.

        `prompts`, one for all or one each, say what they shall be, `guidance_scale` how strictly; None is the default.
        """

    def prior(self, count: int, *, seed: int = 0, start: int = 0) -> ImplicitFunction:
        """As `sample`, from standard normal whitened latents without diffusion."""


class Modality(ABC, Generic[Item, Query, Options, Rendered]):
    """One kind of signal.  An implementation is a frozen keyword-only dataclass: its fields are the configuration."""

    source: str
    """Where the data come from; `--data` replaces it."""

    @property
    @abstractmethod
    def layout(self) -> PlaneLayout:
        """The axes of the domain and the planes that span it."""

    @property
    def attribution(self) -> str | None:
        """Whose the data are and under which licence, as what is made of them must say; None: nobody told.

        By default what ATTRIBUTION.txt in the folder `source` says.
        """
        return attribution_of(Path(self.source).expanduser()) if self.source else None

    @property
    @abstractmethod
    def RenderOptions(self) -> type[Options]:
        """The frozen dataclass of rendering options; every field has a default and a docstring, for the CLI."""

    @abstractmethod
    def dataset(self, split: Split) -> DataSet[Item]:
        """The data of a split.  Raises ValueError with the remedy when it cannot be had."""

    @abstractmethod
    def captions(self, item: Item) -> tuple[str, ...]:
        """English sentences or words that describe an item, for generation from text; none where nobody wrote any."""

    @abstractmethod
    def inputs(self, items: Sequence[Item]) -> tuple[Tensor, ...]:
        """What the encoder reads, without randomness: for evaluation, and for encoding a data set before stage 2."""

    @abstractmethod
    def collate(self, items: Sequence[Item], rng: Randomness) -> Batch[Query]:
        """A training batch.

        Every draw comes from `rng`: per item `rng.uniform(3)`, which is (batch, 3), and for the whole global batch
        `rng.shared` and `rng.shared_choice`.  The result is a function of (seed, step, position in the global batch).
        """

    @abstractmethod
    def predict(self, function: ImplicitFunction, query: Query) -> Float[Tensor, "batch query channel"]:
        """The functions' values at the query: a read-out at coordinates, or rendered rays."""

    @abstractmethod
    def nll(
        self, prediction: Float[Tensor, "batch query channel"], target: Float[Tensor, "batch query channel"]
    ) -> Float[Tensor, " batch"]:
        """Negative log likelihood: sum over channels, mean over the query, one value per item (eq. 9)."""

    @abstractmethod
    def render(self, function: ImplicitFunction, options: Options) -> Rendered:
        """What a person wants to see of these functions."""

    def memory(self, options: Options, count: int) -> int:
        """About how many bytes `render` of so many functions holds at once; 0 where that is never much."""
        return 0

    def check_memory(self, options: Options, count: int) -> None:
        """ValueError where `render` of so many functions would not fit."""
        what = f"rendering {count} functions with {options}"
        check_fits(self.memory(options, count), what, "ask for a smaller size, or for fewer at once (--batch)")

    @abstractmethod
    def truth(self, items: Sequence[Item], options: Options) -> Rendered:
        """The data themselves, rendered likewise, to compare with."""

    @abstractmethod
    def read(self, path: Path) -> tuple[Tensor, ...]:
        """One file of the user as the encoder's inputs, with a batch of 1.  Raises ValueError naming the file."""

    def options_of(self, path: Path, options: Options) -> Options:
        """How to render what `read` takes from a file: `options`, or with what the file says itself."""
        return options


def with_source(modality: Kind, source: str) -> Kind:
    """The same, with its data elsewhere."""
    return replace(modality, source=source)  # type: ignore[type-var]  # implementations are dataclasses
