"""Development sessions.  `uvx nox -l` lists them; arguments after `--` are passed on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
LIBRARIES = sorted(p.parent.name for p in (ROOT / "packages").glob("*/pyproject.toml"))
ALONE = [name for name in LIBRARIES if name != "ddmi-models"]
"""Those that need no application."""
WORKERS = ("-n", str(min(4, os.cpu_count() or 1)))
"""Tests by several processes of one thread: on two cores in half the time of one process of two."""
IN_THE_GATE = "not wheels and not attack and not browser and not docs"
EXTRAS = {"ddmi-modalities": "[image,shape,parquet,text,video,nerf,sphere]"}
PACKAGES = {**{name: ROOT / "packages" / name for name in LIBRARIES}, "ddmi": ROOT / "apps"}


def run(
    session: nox.Session, *command: str, groups: tuple[str, ...] = (), env: dict[str, str | None] | None = None
) -> None:
    """A command in the workspace's own environment (.venv), which is first brought in line with uv.lock."""
    flags = [flag for group in groups for flag in ("--group", group)]
    session.run("uv", "run", "--locked", "--all-packages", "--all-extras", *flags, *command, external=True, env=env)


def ddmi(session: nox.Session, *arguments: str) -> None:
    run(session, "ddmi", *arguments)


def ddmi_shared(session: nox.Session, *arguments: str) -> None:
    """`ddmi` by two processes where there is no GPU: small steps use two cores better so than by two threads."""
    cores = os.cpu_count() or 1
    if cores < 2 or sys.platform != "linux" or shutil.which("nvidia-smi"):
        ddmi(session, *arguments)
        return
    processes = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    defaults = ("--mixed_precision", "no", "--dynamo_backend", "no")  # the trainer's settings say these
    launch = ("accelerate", "launch", *processes, *defaults, "-m", "ddmi")
    run(session, *launch, *arguments, env={"OMP_NUM_THREADS": str(cores // 2)})


def train(session: nox.Session, *arguments: str, by: Callable[..., None] = ddmi) -> None:
    """`ddmi train`, which goes on where it was stopped: the session is started again alike."""
    posargs = [argument for argument in session.posargs if argument != "--resume"]
    by(session, "train", *arguments, "--resume", *posargs)


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Train both stages on OpenMoji, generate, and draw pictures: runs/demo (14 minutes on 2 cores, 1 GB of cache)."""
    train(session, "openmoji", "--preset", "demo", "--run", "runs/demo")
    ddmi(session, "report", "runs/demo")


@nox.session(name="try", venv_backend="none")
def try_(session: nox.Session) -> None:
    """Generate with the models that come along, without training: runs/try/index.html (two minutes on 2 cores)."""
    page = ("--html", "runs/try/index.html", "--count", "8")
    prompts = ("a round table with three thin legs", "a chair with arms", "a long table", "a tall chair without arms")
    ddmi(session, "explore", *page, "--prompts", *prompts, *session.posargs)


@nox.session(venv_backend="none")
def browser(session: nox.Session) -> None:
    """The explorer in a real browser, that of CHROME, else chromium or chrome; its recordings are in runs/browser."""
    run(session, "pytest", "-m", "browser", "tests/browser", *session.posargs, groups=("test", "browser"))


@nox.session(venv_backend="none")
def evening(session: nox.Session) -> None:
    """An hour of training: `nox -s evening -- openmoji` (or another recipe); goes on where it was stopped."""
    recipe, *more = session.posargs or ["openmoji"]
    directory = f"runs/evening/{recipe}"
    by = ddmi_shared if recipe == "moving-openmoji" else ddmi
    by(session, "train", recipe, "--preset", "evening", "--run", directory, "--resume", *more)
    ddmi(session, "report", directory)


@nox.session(name="train-image", venv_backend="none")
def train_image(session: nox.Session) -> None:
    """Train on images: `nox -s train-image -- openmoji --preset small`, or `-- images --data FOLDER`."""
    train(session, *([] if session.posargs else ["openmoji"]))


@nox.session(name="train-shape", venv_backend="none")
def train_shape(session: nox.Session) -> None:
    """Train both stages on 3D furniture, and draw pictures: runs/shape (17 minutes on 2 cores)."""
    train(session, "furniture", "--preset", "demo", "--run", "runs/shape")
    ddmi(session, "report", "runs/shape")


@nox.session(name="train-text2shape", venv_backend="none")
def train_text2shape(session: nox.Session) -> None:
    """Train 3D furniture from sentences: runs/text2shape; takes the autoencoder of runs/shape where it is there."""
    reuse = ["--vae", "runs/shape"] if (ROOT / "runs" / "shape" / "vae.safetensors").exists() else []
    train(session, "furniture-text", "--preset", "demo", "--run", "runs/text2shape", *reuse)
    ddmi(session, "report", "runs/text2shape")


@nox.session(name="train-nerf", venv_backend="none")
def train_nerf(session: nox.Session) -> None:
    """Train both stages on radiance fields of toy scenes, and draw pictures: runs/nerf."""
    train(session, "turntable", "--preset", "demo", "--run", "runs/nerf")
    ddmi(session, "report", "runs/nerf")


@nox.session(name="train-video", venv_backend="none")
def train_video(session: nox.Session) -> None:
    """Train both stages on moving drawings, and draw clips: runs/video (15 to 25 minutes on 2 cores)."""
    train(session, "moving-openmoji", "--preset", "demo", "--run", "runs/video", by=ddmi_shared)
    ddmi(session, "report", "runs/video")


@nox.session(name="train-sphere", venv_backend="none")
def train_sphere(session: nox.Session) -> None:
    """Train both stages on monthly winds, and draw maps and globes: runs/sphere (20 minutes of one thread).

    Their package is fetched by apt-get; elsewhere run `ddmi prepare winds FILE.deb --out runs/winds` first.
    """
    if not (ROOT / "runs" / "winds" / "manifest.json").exists():
        ddmi(session, "prepare", "winds", "--out", "runs/winds")
    train(session, "winds", "--preset", "demo", "--data", "runs/winds", "--run", "runs/sphere")
    ddmi(session, "report", "runs/sphere")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """All tests in the workspace's environment, but `wheels`, `browser`, `docs` and the long ones of `attack`."""
    run(session, "pytest", *WORKERS, "-m", IN_THE_GATE, *session.posargs, groups=("test",))


@nox.session(venv_backend="none")
def wheels(session: nox.Session) -> None:
    """What users install: examples, the application and a plug-in, from wheels in clean environments."""
    run(session, "pytest", "-m", "wheels", *session.posargs, groups=("test",))


@nox.session(venv_backend="none")
def attack(session: nox.Session) -> None:
    """Damaged files of every kind, kills and full disks at every disk operation; prints counts (about half an hour)."""
    env = {"DDMI_ATTACK": os.environ.get("DDMI_ATTACK", "40")}
    run(session, "pytest", *WORKERS, "tests/attack", *session.posargs, groups=("test",), env=env)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """The site of the documentation, build/site, and its slow code and notebooks at preset test (minutes)."""
    run(session, "python", "tools/documentation.py", groups=("docs",))
    run(session, "pytest", *WORKERS, "-m", "docs", "tests", *session.posargs, groups=("docs", "test"))


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """ruff (check and format), codespell, and which part may import which."""
    run(session, "ruff", "check", ".", groups=("lint",))
    run(session, "ruff", "format", "--check", ".", groups=("lint",))
    run(session, "codespell", groups=("lint",))
    run(session, "lint-imports", groups=("lint",))


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """mypy --strict on every package, on examples, benchmarks and tools, and on what uses the seams."""
    sources = [str(path.relative_to(ROOT) / "src") for path in PACKAGES.values()]
    sources += ["examples", "benchmarks", "tools", "tests/test_seams.py"]
    run(session, "mypy", *(session.posargs or sources), groups=("types",))


@nox.session
@nox.parametrize("name", ALONE, ids=ALONE)
def package(session: nox.Session, name: str) -> None:
    """One package alone: its wheel and declared dependencies in an empty environment, its own tests run there.

    The slow ones are left to `tests`: they say nothing of what is installed.
    """
    dist = Path(session.create_tmp())
    shutil.rmtree(dist, ignore_errors=True)
    session.run("uv", "build", "-q", "--all-packages", "--wheel", "--no-sources", "-o", str(dist), external=True)
    (wheel,) = dist.glob(f"{name.replace('-', '_')}-*.whl")
    test_tools = nox.project.load_toml(ROOT / "pyproject.toml")["dependency-groups"]["test"]
    # uv keeps wheels that it once found in a folder, by version: without a refresh, siblings would be old ones.
    fresh = [f"--refresh-package={sibling}" for sibling in LIBRARIES]
    session.install(*fresh, "--find-links", str(dist), f"{wheel}{EXTRAS.get(name, '')}", *test_tools)
    module = name.replace("-", "_")
    session.run("python", "-I", "-c", f"import {module}; print({module}.__file__)")
    folder = str(PACKAGES[name].relative_to(ROOT) / "tests")
    session.run("pytest", "-c", "pyproject.toml", *WORKERS, "-m", "not slow", folder, *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """All tests with the lowest versions that the packages say they take (slow: installs another torch)."""
    editable = [flag for path in PACKAGES.values() for flag in ("-e", f"{path}{EXTRAS.get(path.name, '')}")]
    session.install("--resolution", "lowest-direct", *editable, "--group", "test")
    session.run("pytest", *WORKERS, "-m", IN_THE_GATE, *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and sdists of all packages in dist/, with their metadata checked."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("uv", "build", "-q", "--all-packages", "--no-sources", "-o", "dist", external=True)
    session.install("twine")
    session.run("twine", "check", "--strict", *map(str, sorted((ROOT / "dist").glob("ddmi*"))))


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    """Release one package (`-- NAME VERSION`): version, changelog and siblings' bounds, build, tag."""
    run(session, "python", "tools/release.py", *session.posargs)
