"""The command line: `ddmi recipes | train | sample | reconstruct | evaluate | table | report | fit | prepare | ...`."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from ddmi.allocator import keep_freed_pages

PROGRAM = "ddmi"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the recipes and their presets."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.recipes import PRESETS, RECIPES

        _no_more(rest)
        width = max(map(len, RECIPES))
        for name, recipe in sorted(RECIPES.items()):
            lacking = " or ".join(preset for preset in PRESETS if preset not in recipe.presets)
            print(f"{name:{width}}  {recipe.summary}{lacking and f'; no {lacking}'}")
        print(f"\npresets: {', '.join(PRESETS)}.  `{PROGRAM} train RECIPE --preset P --help` shows all settings.")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe, both stages or one.  Further options change single settings (`--help` after RECIPE)."""

    recipe: Positional[str]
    """Its name, see `ddmi recipes`."""
    preset: str = "demo"
    """test (seconds), demo (minutes on a laptop), small (one consumer GPU), ours (our best), paper; if it has it."""
    run_dir: Annotated[Path | None, tyro.conf.arg(name="run")] = None
    """Directory of the run; default runs/RECIPE-PRESET."""
    data: str | None = None
    """Where the data are, for recipes that read them from a folder."""
    text_weights: str | None = None
    """For recipes with text: a pretrained tower, ARCHITECTURE:TAG, hf-hub:OWNER/NAME or a folder; it stays frozen."""
    resume: bool = False
    """Go on where the run was stopped."""
    stage: Literal["vae", "vae-gan", "diffusion", "all"] = "all"
    """Which stage to train."""
    vae: Path | None = None
    """Take the autoencoder of this run, of the same architecture, instead of training stage 1."""
    dry_run: bool = False
    """Check the data, measure one step of each stage, say what training needs, and stop without writing a run."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.experiment import Experiment
        from ddmi.pipeline import CONFIG, VAE, read_experiment
        from ddmi.recipes import make_experiment, with_text_weights
        from ddmi.serialization import to_json
        from ddmi.stages import Run

        directory = self.run_dir or Path("runs") / f"{self.recipe}-{self.preset}"
        experiment = make_experiment(self.recipe, self.preset, self.data)
        if self.text_weights is not None:
            experiment = with_text_weights(experiment, self.text_weights)
        experiment = _parse(Experiment, experiment, rest, f"{PROGRAM} train {self.recipe}")
        stages = ("vae", *(["vae-gan"] if experiment.gan else []), "diffusion")
        chosen = stages if self.stage == "all" else (self.stage,)
        chosen = chosen if self.vae is None else ("diffusion",)
        if self.dry_run:
            from ddmi.dry_run import dry_run

            return dry_run(experiment, chosen, print)
        started = (directory / CONFIG).exists()
        if directory.exists() and not directory.is_dir():
            raise ValueError(f"--run {directory} is a file; name a directory")
        if started and not self.resume and self.stage in ("all", "vae"):
            raise ValueError(f"{directory} holds a run already; go on with --resume, or name another --run")
        if started:
            _same_model(read_experiment(directory), experiment, directory)
        run = Run(experiment, directory, say)
        directory.mkdir(parents=True, exist_ok=True)
        if run.state.is_main_process:
            from ddmi_diffusion import atomic_write_text

            atomic_write_text(directory / CONFIG, json.dumps(to_json(experiment), indent=2) + "\n")
        if self.vae is not None and not (self.resume and (directory / VAE).exists()):
            run.take_vae(self.vae)
        run.train(chosen, self.resume)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Generate functions and render them.  Further options are those of the run's view, such as --resolution."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run, a saved model, or a repository on the Hugging Face hub."""
    count: int = 16
    """How many."""
    seed: int = 0
    """Function i depends on (seed, i) only: the same at every resolution and count."""
    steps: int | None = None
    """Steps of the sampler; default the recipe's."""
    sampler: str | None = None
    """ddim, ddpm, dpm-solver++, unipc, or euler (flow); default the recipe's."""
    prompt: str | None = None
    """What to generate, for recipes with text."""
    guidance: float | None = None
    """Scale of classifier-free guidance: 0 ignores the prompt, 1 adds nothing to it; default the recipe's."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times in which guidance acts, as fractions of the noise process; 1 is pure noise."""
    out: Path = Path("samples")
    """Directory to write to."""
    batch: int = 64
    """How many at once."""

    def run(self, rest: Sequence[str]) -> None:
        model, view = _open(self.run_dir, rest, "sample")
        if self.count < 1 or self.batch < 1:
            raise ValueError(f"--count and --batch must be at least 1, got {self.count} and {self.batch}")
        written = []
        for start in range(0, self.count, self.batch):
            count = min(self.batch, self.count - start)
            say(f"sampling {start + 1} to {start + count} of {self.count}")
            functions = model.sample(
                count, seed=self.seed, start=start, steps=self.steps, sampler=self.sampler, prompts=self.prompt,
                guidance=self.guidance, guidance_interval=self.guidance_interval, progress=_progress,
            )  # fmt: skip
            written += model.experiment.modality.render(functions, view).save(self.out, start)
        say(f"wrote {len(written)} files to {self.out}")


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Encode files and render the functions at any resolution."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    files: Positional[tuple[Path, ...]]
    """What the run's modality reads, such as images."""
    out: Path = Path("reconstructions")
    """Directory to write to."""

    def run(self, rest: Sequence[str]) -> None:
        model, view = _open(self.run_dir, rest, "reconstruct")
        if not self.files:
            raise ValueError("reconstruct: name at least one file")
        modality = model.experiment.modality
        inputs = [modality.read(file) for file in self.files]  # all are read before anything is written
        for i, (file, one) in enumerate(zip(self.files, inputs, strict=True)):
            (path,) = modality.render(model.reconstruct(one), modality.view_of(file, view)).save(self.out, i)
            say(f"{file} -> {path}")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Print metrics; write RUN/metrics.json and RUN/evaluations/PROTOCOL.json.  Further options: `--help` after RUN."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    protocol: str = "offline"
    """How published numbers were measured: fid-50k, kid, fvd, ...; an unknown name lists those that fit the run."""
    seed: int = 0
    """Of the samples."""
    data: str | None = None
    """Where the data are now, if not where the run was trained."""
    steps: int | None = None
    """Steps of the sampler; default the recipe's."""
    sampler: str | None = None
    """ddim, ddpm, dpm-solver++, unipc, or euler (flow); default the recipe's."""
    device: str = "cpu"
    """Where the model and the protocol's network compute, such as cuda."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.evaluation import evaluate_run
        from ddmi.pipeline import DDMI
        from ddmi.protocols import find_protocol

        model = DDMI.from_pretrained(self.run_dir, device=self.device)
        modality = model.experiment.modality
        protocol = find_protocol(modality, self.protocol)
        settings = _parse(type(protocol.settings), protocol.settings, rest, f"{PROGRAM} evaluate RUN")
        modality = replace(modality, source=self.data) if self.data else modality
        metrics = evaluate_run(
            model, modality, self.run_dir, self.protocol, protocol, settings,
            seed=self.seed, steps=self.steps, sampler=self.sampler, note=say,
        )  # fmt: skip
        width = max(map(len, metrics))
        for name, value in sorted(metrics.items()):
            print(f"{name:{width}}  {value:10.4g}")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Print the evaluations of runs as Markdown, beside the paper's numbers."""

    runs: Positional[tuple[Path, ...]] = ()
    """Runs that `ddmi evaluate` has measured."""
    paper: str | None = None
    """The data set of the paper to compare with, such as afhqv2-cat; default those of the runs' recipes."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.table import markdown_table

        _no_more(rest)
        if not self.runs:
            raise ValueError("table: name at least one run")
        print(markdown_table(self.runs, self.paper), end="")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Draw the pictures that show what a run has learnt."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    out: Path | None = None
    """Directory to write to; default RUN/report."""
    seed: int = 0
    """Of the samples."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.pipeline import DDMI

        _no_more(rest)
        model = DDMI.from_pretrained(self.run_dir)
        out = self.out or self.run_dir / "report"
        say("pictures:")
        for path in model.experiment.modality.report(model, out, seed=self.seed, note=say):
            say(f"  {path}")


@dataclass(frozen=True, kw_only=True)
class Analyze:
    """Draw how a run works: spectra, read-outs without a scale, interpolations, nearest training items."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    out: Path | None = None
    """Directory to write to; default RUN/analysis."""
    seed: int = 0
    """Of the samples."""
    data: str | None = None
    """Where the data are now, if not where the run was trained."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.analysis import Analysis, analyze_run
        from ddmi.pipeline import DDMI

        model = DDMI.from_pretrained(self.run_dir)
        settings = _parse(Analysis, Analysis(), rest, f"{PROGRAM} analyze RUN")
        modality = model.experiment.modality
        if self.data:
            modality = replace(modality, source=self.data)
        out = self.out or self.run_dir / "analysis"
        for path in analyze_run(model, modality, out, settings, seed=self.seed, note=say):
            say(f"wrote {path}")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit one image with learned planes (no training data), and zoom into it.  Further options: `--help` after FILE."""

    file: Positional[Path]
    """An image."""
    size: int = 256
    """Its centred square is brought to this many pixels a side."""
    out: Path = Path("fit")
    """Directory to write to."""
    zoom: int = 4
    """Size of the enlarged picture, as a multiple."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.fit import FitConfig
        from ddmi.fit_image_file import fit_image_file

        config = _parse(FitConfig, FitConfig(), rest, f"{PROGRAM} fit")
        for path in fit_image_file(self.file, self.out, size=self.size, zoom=self.zoom, config=config, say=say):
            say(f"wrote {path}")


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Bring data into a form that trains fast: `ddmi prepare shapes MESHES OUT`, `ddmi prepare nerf SCENES OUT`."""

    kind: Positional[Literal["shapes", "nerf"]]
    """What the data are: meshes, to the layout of ShapeNet, or posed pictures, to NPZ files with points."""
    source: Positional[Path]
    """Folder of the user's files: meshes as OBJ, PLY, STL, OFF or GLB; or scenes as SRN's, NeRF's or NPZ files."""
    out: Positional[Path]
    """Folder to write to; what is there already is kept."""
    count: int | None = None
    """Points stored of each shape, in the volume and on the surface (default 100000), or of each scene (20000)."""
    repair: bool = False
    """Of shapes: repair meshes that are not watertight instead of leaving them out."""
    scale: float = 1.0
    """Of scenes: our units per unit of the cameras' positions, so that the object fills the unit cube."""

    def run(self, rest: Sequence[str]) -> None:
        _no_more(rest)
        done, what, train = {"shapes": self._shapes, "nerf": self._scenes}[self.kind]()
        say(f"wrote {len(done.written)} {what} to {self.out}, kept {len(done.kept)}, left out {len(done.refused)}")
        say(f"train on them with `{PROGRAM} train {train}`")

    def _shapes(self) -> tuple[Any, str, str]:
        """What was done, what it is called, and how one trains on it."""
        from ddmi_modalities.shape.prepare import prepare_shapes

        count = 100_000 if self.count is None else self.count
        done = prepare_shapes(self.source, self.out, count, self.repair, note=say)
        return done, "shapes", f"shapes --data {self.out} --modality.near None"

    def _scenes(self) -> tuple[Any, str, str]:
        from ddmi_modalities.nerf.prepare import prepare_scenes

        count = 20_000 if self.count is None else self.count
        done = prepare_scenes(self.source, self.out, count, scale=self.scale, note=say)
        return done, "scenes", f"srn-cars --data {self.out}"


@dataclass(frozen=True, kw_only=True)
class ImportReference:
    """Turn a checkpoint of the reference implementation into a model; no code in it is run."""

    checkpoint: Positional[Path]
    """model-*.pt (stage 1) or ldm-*.pt (stage 2)."""
    config: Path
    """The YAML file that it was trained with."""
    out: Path
    """Directory to write to; it may hold stage 1 of the same configuration, to which stage 2 is added."""
    vae: Path | None = None
    """Of stage 2: the checkpoint of stage 1, where that of stage 2 does not hold it."""
    raw: bool = False
    """Of stage 2: the weights of the last step instead of their moving average."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.reference.importing import import_reference

        _no_more(rest)
        import_reference(self.checkpoint, self.config, self.out, vae=self.vae, raw=self.raw, say=say)
        say(f"wrote {self.out}: load it with `DDMI.from_pretrained`")


COMMANDS: dict[str, type[Any]] = {
    "recipes": Recipes,
    "train": Train,
    "sample": Sample,
    "reconstruct": Reconstruct,
    "evaluate": Evaluate,
    "table": Table,
    "report": Report,
    "analyze": Analyze,
    "fit": Fit,
    "prepare": Prepare,
    "import-reference": ImportReference,
}


def _parse(wanted: Any, default: Any, args: Sequence[str], program: str) -> Any:
    return tyro.cli(wanted, default=default, args=list(args), prog=program, config=(tyro.conf.AvoidSubcommands,))


def _no_more(rest: Sequence[str]) -> None:
    if rest:
        raise ValueError(f"unknown option {rest[0]!r}; --help shows what there is")


def _open(run_dir: Path, rest: Sequence[str], command: str) -> tuple[Any, Any]:
    """The model of a run, and the rest of the line as its modality's view."""
    from ddmi.pipeline import DDMI

    model = DDMI.from_pretrained(run_dir)
    view = model.experiment.modality.View
    return model, _parse(view, view(), rest, f"{PROGRAM} {command} RUN")


def _progress(steps: Any) -> Any:
    from tqdm import tqdm

    return tqdm(steps, desc="sampling", leave=False, disable=not sys.stderr.isatty())


def _same_model(old: Any, new: Any, directory: Path) -> None:
    """Refuses to go on with a run of another model: its checkpoints could not be loaded."""
    for part in ("recipe", "vae", "diffusion"):
        if getattr(old, part) != getattr(new, part):
            raise ValueError(
                f"{directory} was started with another {part}; repeat its settings (see {directory / 'config.json'}), "
                "or name another --run"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.  Bad input ends with one line on stderr and the exit code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    keep_freed_pages()
    if not argv or argv[0] not in COMMANDS:
        if argv and argv[0] not in ("-h", "--help"):
            return _fail(f"unknown command {argv[0]!r}; choose one of {', '.join(COMMANDS)}")
        print(f"usage: {PROGRAM} COMMAND ...\n")
        for name, command in COMMANDS.items():
            print(f"  {name:16} {(command.__doc__ or '').splitlines()[0]}")
        return 0
    return _guarded(lambda: _dispatch(argv[0], argv[1:]))


def _dispatch(name: str, args: Sequence[str]) -> None:
    # `--help` belongs to the settings of a recipe or view once their owner has been named.
    owned = name != "recipes" and any(not arg.startswith("-") for arg in args)
    helps = [arg for arg in args if arg in ("-h", "--help")] if owned else []
    rest_of_line = [arg for arg in args if arg not in helps]
    command, rest = tyro.cli(COMMANDS[name], args=rest_of_line, prog=f"{PROGRAM} {name}", return_unknown_args=True)
    if helps:
        print(f"The command's own options: `{PROGRAM} {name} --help`.  Those of what it works on:\n")
        rest = [*rest, "--help"]
    command.run(rest)


def _guarded(action: Callable[[], None]) -> int:
    from ddmi_diffusion import CheckpointError, NonFiniteLossError, TrainingInterrupted

    try:
        action()
    except TrainingInterrupted as stopped:
        say(f"{PROGRAM}: {stopped}")
        return 130
    except (ValueError, CheckpointError, NonFiniteLossError) as error:
        return _fail(str(error))
    except OSError as error:
        remedy = "; free some space and run again with --resume" if error.errno == errno.ENOSPC else ""
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}{remedy}")
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    say(f"{PROGRAM}: error: {' '.join(message.split())}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
