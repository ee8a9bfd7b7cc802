"""Slow work on a data set done once: items are made in parallel, every file whole or not at all, with a manifest."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from ddmi_modalities.datasets.attribution import ATTRIBUTION, attribution_of
from ddmi_modalities.datasets.checked_sources import stamp
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.manifest import WRITING, Manifest, Record, Unwritable, is_stored, write_file
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.datasets.worker_processes import cores, in_processes
from ddmi_modalities.files.text import printable
from ddmi_modalities.progress import progress

Source_contra = TypeVar("Source_contra", contravariant=True)

logger = logging.getLogger("ddmi")

SAVE_EVERY = 5.0
"""Seconds between two manifests, at least: so much work a killed run has to do again."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """What is made of one thing of the user."""

    name: str
    """Unique; what it becomes, below the prepared folder."""
    split: str
    """'train', 'test', or 'time' of a video that is split by time when it is read."""
    sources: tuple[str, ...]
    """Files or folders it is made of, below the plan's source, the chief one first; others need not be there."""
    make: Callable[[], Iterable[tuple[str, bytes]]]
    """Yields paths below the prepared folder and what to write there.  It can be pickled and depends on the sources
    only; what it raises is why the item is left out."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a data set is prepared."""

    what: str
    """What the items are called."""
    source: Path
    items: Sequence[Item]
    settings: Mapping[str, Any]
    """All that the files depend on besides their sources, as JSON has it."""
    folders: tuple[str, ...] = ()
    """Folders that have to be there, even if empty, so that who reads them sees the splits."""
    lists: Callable[[Sequence[Item]], Mapping[str, str]] = lambda made: {}
    """Text files about the items that were made."""
    closing: Callable[[Path, Sequence[Item]], str] = lambda out, made: ""
    """What is said at the end of the prepared folder and the items that are in it."""
    remedy: str = "repair or remove them"
    """What a user can do about items that are left out."""
    options: str = ""
    """What training on the result needs besides --data."""


class Preparation(Protocol[Source_contra]):
    """How a modality's data become files that train fast: a frozen dataclass of settings, for the command line."""

    def plan(self, modality: Source_contra) -> Plan:
        """What is to be made of the modality's source.  ValueError where there is nothing, or it is read as it is."""


@runtime_checkable
class Fetching(Protocol):
    """A `Preparation` that can bring the data itself, where the user names none."""

    def fetch(self, folder: Path) -> Path:
        """The data, brought into a folder that goes when they are prepared.  ValueError with the remedy."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What `prepare` did, by the names of items."""

    made: tuple[str, ...]
    kept: tuple[str, ...]
    """Made by an earlier run, of sources that are as they were; checksums agree."""
    left_out: dict[str, str]
    """With the reasons."""


def prepare(
    plan: Plan,
    out: Path | str,
    *,
    recipe: str = "",
    workers: int | None = None,
) -> Prepared:
    """Makes the items of a plan below `out`, and manifest.json; goes on where an earlier run stopped.

    Args:
        plan: Of a modality's `Preparation`.
        out: Folder to write to: new, empty, or of an earlier run.
        recipe: For the manifest.
        workers: Processes, default one for each core; 1: this one.  A script that asks for more needs
            `if __name__ == "__main__":`, as new processes import it.

    Raises:
        ValueError: `out` is no such folder or overlaps with the source, another process works there, two items have
            one name, a file cannot be written, or no item can be made.
    """
    out = Path(out).expanduser()
    workers = cores() if workers is None else workers
    if workers < 1:
        raise ValueError(f"prepare: workers counts processes, got {workers}; give 1 or more")
    names = _check_names(plan)
    _check_places(plan.source, out)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        manifest = Manifest.open(out, recipe, plan.settings)
        if gone := sorted(manifest.items.keys() - names):
            raise ValueError(
                f"prepare: {str(out)!r} holds {len(gone)} {plan.what} that {str(plan.source)!r} has no more, or in "
                f"another split, such as {gone[0]!r}; name a new folder"
            )
        for stale in out.rglob(f"{WRITING}*"):
            stale.unlink(missing_ok=True)
        for folder in plan.folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        try:
            made = _make_all(plan, manifest, min(workers, max(1, len(plan.items))))
        except KeyboardInterrupt:
            logger.warning("prepare: stopped; the same command goes on from here")
            raise
        _finish(plan, manifest)
    sound = [item.name for item in plan.items if item.name in manifest.items]
    return Prepared(
        made=tuple(name for name in sound if name in made),
        kept=tuple(name for name in sound if name not in made),
        left_out={name: one["reason"] for name, one in manifest.left_out.items()},
    )


def _check_names(plan: Plan) -> set[str]:
    seen: dict[str, Item] = {}
    for item in plan.items:
        if item.name in seen:
            raise ValueError(
                f"prepare: {seen[item.name].sources[0]!r} and {item.sources[0]!r} in {str(plan.source)!r} would both "
                f"become {item.name!r}; rename one"
            )
        seen[item.name] = item
    return set(seen)


def _check_places(source: Path, out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"prepare: {str(out)!r} is a file; name a folder to write to")
    read, written = source.resolve(), out.resolve()
    if read == written or read in written.parents or written in read.parents:
        raise ValueError(
            f"prepare: one of the source {str(source)!r} and the folder to write to, {str(out)!r}, holds the other; "
            "name a folder beside the source"
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(out / ".preparing.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"prepare: another process is preparing {str(out)!r}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _make_all(plan: Plan, manifest: Manifest, workers: int) -> set[str]:
    """The names of the items that had to be made; the manifest is saved whatever happens."""
    manifest.save()  # so that a folder that a killed run leaves is known as ours
    jobs = [(item, plan.source, manifest.folder, manifest.items.get(item.name)) for item in plan.items]
    made, due = set(), time.monotonic() + SAVE_EVERY
    try:
        with closing(in_processes(_make, jobs, workers)) as results:
            for number, result in progress(results, what=f"preparing {plan.what}", total=len(jobs)):
                item = plan.items[number]
                if isinstance(result, str):
                    manifest.items.pop(item.name, None)
                    manifest.left_out[item.name] = {"split": item.split, "source": item.sources[0], "reason": result}
                elif result is not None:
                    manifest.items[item.name] = result
                    made.add(item.name)
                if (now := time.monotonic()) > due:
                    manifest.save()
                    due = time.monotonic() + max(SAVE_EVERY, 20 * (time.monotonic() - now))
    finally:
        manifest.save()
    return made


def _make(item: Item, source: Path, out: Path, known: Record | None) -> Record | str | None:
    """What was made of an item; None where `known` is still so; or why it is left out, and then nothing of it stays."""
    stamps = {name: found for name in item.sources if (found := stamp(source / name))}
    before = known["files"] if known else {}
    if known and known["sources"] == stamps and all(is_stored(out / name, stored) for name, stored in before.items()):
        return None
    files, reason = {}, ""
    try:
        for name, content in item.make():
            files[name] = write_file(out / name, content)
    except Unwritable:
        raise
    except Exception as error:  # readers of third-party formats raise anything
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        reason = f"{kind}{error}".replace(f"{source}{os.sep}", "") or type(error).__name__
    for name in {*before, *files} if reason else before.keys() - files.keys():
        (out / name).unlink(missing_ok=True)
    return reason or {"split": item.split, "sources": stamps, "files": files}


def _finish(plan: Plan, manifest: Manifest) -> None:
    """Lists, and a word about what was left out."""
    leave_out(
        f"prepare: {str(plan.source)!r}",
        plan.what,
        {one["source"]: one["reason"] for one in manifest.left_out.values()},
        len({item.sources[0] for item in plan.items}),  # one scene may be in both splits
        remedy=plan.remedy,
    )
    made = {manifest.items[item.name]["split"] for item in plan.items if item.name in manifest.items}
    for split in sorted({*SPLITS} - made) if plan.folders else ():
        logger.warning(
            "prepare: no %s fall into the split %r, and training needs some: add more, or folders named train and test",
            plan.what, split,
        )  # fmt: skip
    there = [item for item in plan.items if item.name in manifest.items]
    lists = dict(plan.lists(there))
    if (attribution := attribution_of(plan.source)) is not None:
        lists.setdefault(ATTRIBUTION, attribution)
    for name, text in lists.items():
        manifest.lists[name] = write_file(manifest.folder / name, text.encode())
        if not text:
            logger.warning("prepare: %s is empty: nothing falls into that split", name)
    manifest.complete = True
    manifest.save()
    if said := plan.closing(manifest.folder, there):
        logger.info("%s", said.removesuffix("; "))
    if ATTRIBUTION in lists:
        logger.info(
            "whose they are, as what is made of them must say (%s):\n%s", ATTRIBUTION, printable(lists[ATTRIBUTION])
        )
