"""The seam between a kind of signal and everything else: what a modality must be able to do.

To add a fifth modality, write one class with the members of `Modality` in a sub-package of its own (or in your own
package).  Nothing else has to change: the autoencoder sees `inputs`, calls `predict` and `nll`, and never looks into
the query; the command line parses a `View` and saves an `Artefact`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.splits import Split
from ddmi_vae import Randomness

Item_co = TypeVar("Item_co", covariant=True)
Item = TypeVar("Item")
Query = TypeVar("Query")
ViewT = TypeVar("ViewT")
EvaluationT = TypeVar("EvaluationT")
Made = TypeVar("Made", bound="Artefact")


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
class Artefact(Protocol):
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
class FunctionSource(Protocol):
    """A trained model, as a modality's evaluation and report see it."""

    @property
    def can_sample(self) -> bool:
        """Whether there is a second stage; without it `sample` and `prior` are not called."""

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        """The functions of the posterior means of `Modality.inputs(...)`."""

    @property
    def can_prompt(self) -> bool:
        """Whether `sample` takes prompts."""

    def sample(
        self,
        count: int,
        *,
        seed: int,
        start: int = 0,
        prompts: Sequence[str] | None = None,
        guidance: float | None = None,
    ) -> ImplicitFunction:
        """Generated functions number `start` to `start + count`; each depends on (seed, its number) only.

        `prompts`, one for all or one each, say what they shall be, `guidance` how strictly; None is the default.
        """

    def prior(self, count: int, *, seed: int, start: int = 0) -> ImplicitFunction:
        """As `sample`, from standard normal whitened latents without diffusion."""


class Modality(Protocol[Item, Query, ViewT, EvaluationT, Made]):
    """One kind of signal.  An implementation is a frozen keyword-only dataclass: its fields are the configuration."""

    @property
    def layout(self) -> PlaneLayout:
        """The axes of the domain and the planes that span it."""

    @property
    def View(self) -> type[ViewT]:
        """The frozen dataclass of rendering options; every field has a default and a docstring, for the CLI."""

    @property
    def Evaluation(self) -> type[EvaluationT]:
        """The frozen dataclass of the settings of `evaluate`, such as counts and weights, likewise."""

    def dataset(self, split: Split) -> DataSet[Item]:
        """The data of a split.  Raises ValueError with the remedy when it cannot be had."""

    def captions(self, item: Item) -> tuple[str, ...]:
        """English sentences or words that describe an item, for generation from text; none where nobody wrote any."""

    def inputs(self, items: Sequence[Item]) -> tuple[Tensor, ...]:
        """What the encoder reads, without randomness: for evaluation, and for encoding a data set before stage 2."""

    def collate(self, items: Sequence[Item], rng: Randomness) -> Batch[Query]:
        """A training batch.

        Every draw comes from `rng`: per item `rng.uniform(3)`, which is (batch, 3), and for the whole global batch
        `rng.shared` and `rng.shared_choice`.  The result is a function of (seed, step, position in the global batch).
        """

    def predict(self, function: ImplicitFunction, query: Query) -> Float[Tensor, "batch query channel"]:
        """The functions' values at the query: a read-out at coordinates, or rendered rays."""

    def nll(
        self, prediction: Float[Tensor, "batch query channel"], target: Float[Tensor, "batch query channel"]
    ) -> Float[Tensor, " batch"]:
        """Negative log likelihood: sum over channels, mean over the query, one value per item (eq. 9)."""

    def render(self, function: ImplicitFunction, view: ViewT) -> Made:
        """What a person wants to see of these functions."""

    def truth(self, items: Sequence[Item], view: ViewT) -> Made:
        """The same view of the data itself, to compare with."""

    def read(self, path: Path) -> tuple[Tensor, ...]:
        """One file of the user as the encoder's inputs, with a batch of 1.  Raises ValueError naming the file."""

    def view_of(self, path: Path, view: ViewT) -> ViewT:
        """The view in which to render what `read` takes from a file: `view`, or with what the file says itself."""

    def evaluate(
        self, model: FunctionSource, settings: EvaluationT, *, seed: int, note: Callable[[str], None]
    ) -> dict[str, float]:
        """All metrics of a trained model on held-out data, as one flat dictionary; `note` says what is being done."""

    def report(self, model: FunctionSource, directory: Path, *, seed: int, note: Callable[[str], None]) -> list[Path]:
        """Pictures that show what a model has learnt; returns their paths."""

    def metrics(self, made: Made, true: Made) -> dict[str, float]:
        """Pairwise quality of `made` against `true`: two artefacts of the same view, item by item."""
