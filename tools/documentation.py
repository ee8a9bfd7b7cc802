"""The documentation as a site and as notebooks.

    python tools/documentation.py

copies what the site shows to build/docs, from which Zensical makes build/site: everything below docs/, and the
documents that stand beside the code they are about.  Links between them are turned to where they are now; a link that
leads nowhere is a ValueError.  Links to code lead to the repository where `DDMI_REPOSITORY` says its address, and are
plain words otherwise.  Each tutorial is written as a notebook, too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "THIRD_PARTY.md", "apps/README.md", "apps/CHANGELOG.md")
"""Documents outside docs/ that the site shows; and those of packages and of benchmarks."""
SHOWN = (".md", ".png", ".svg", ".json", ".css")
LANGUAGES = ("python", "console", "pycon")
"""What is run."""

FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """Fenced code: ```` ```LANGUAGE FILE ````, and what the comment in the line above says of running it.

    `<!-- slow -->`: not in the gate, but by `nox -s docs`.  `<!-- not run: REASON -->`: never.
    """

    language: str
    file: str
    code: str
    mark: str
    line: int
    span: tuple[int, int]

    @property
    def never(self) -> bool:
        return self.mark.startswith("not run: ")

    @property
    def slow(self) -> bool:
        return self.mark == "slow"

    @property
    def runs(self) -> bool:
        return self.language in LANGUAGES and not self.file and not self.never


def blocks(text: str) -> list[Block]:
    """All fenced code of a document, in order."""
    found = []
    for match in FENCE.finditer(text):
        language, _, file = match["info"].partition(" ")
        mark = match["mark"] or ""
        line = text.count("\n", 0, match.start("info")) + 1
        found.append(Block(language, file.strip(), match["code"], mark, line, match.span()))
    return found


def between(text: str) -> Iterator[str | Block]:
    """The text around fenced code, and the code."""
    last = 0
    for block in blocks(text):
        yield text[last : block.span[0]]
        yield block
        last = block.span[1]
    yield text[last:]


def commands(code: str) -> list[str]:
    """The commands of a console block, without comments, and without `uv run`."""
    joined = re.sub(r"\\\n\s*", "", code)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line.removeprefix("uv run ") for line in lines if line]


def sources() -> dict[Path, Path]:
    """The files that the site shows, and where they lie on it."""
    found = {path: path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.suffix in SHOWN}
    others = [ROOT / name for name in BESIDE]
    others += [path for name in ("README.md", "CHANGELOG.md") for path in (ROOT / "packages").glob(f"*/{name}")]
    others += [path for path in (ROOT / "benchmarks").rglob("*") if path.suffix in SHOWN]
    # the README of the repository is a page of its own beside the first page of the site
    moved = {ROOT / "README.md": Path("repository.md"), ROOT / "CONTRIBUTING.md": Path("contributing.md")}
    return found | {path: moved.get(path, path.relative_to(ROOT)) for path in others}


def turned(text: str, source: Path, places: dict[Path, Path]) -> str:
    """A text of `source` with its links as they are on the site."""
    here = places[source].parent

    def replace(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or re.match(r"\w+:", target):
            return match[0]
        path = (source.parent / target).resolve()
        if not path.exists():
            raise ValueError(f"{source.relative_to(ROOT)}: links to {target}, which is not there; mend the link")
        if path.is_dir():
            path = next((path / name for name in ("index.md", "README.md") if path / name in places), path)
        if path in places:
            place = os.path.relpath(places[path], here).replace(os.sep, "/")
            return f"{match['image']}[{match['text']}]({place}{'#' + anchor if anchor else ''})"
        repository = os.environ.get("DDMI_REPOSITORY", "").rstrip("/")
        kind = "tree" if path.is_dir() else "blob"
        return f"[{match['text']}]({repository}/{kind}/main/{path.relative_to(ROOT)})" if repository else match["text"]

    return LINK.sub(replace, text)


def page(text: str, source: Path, places: dict[Path, Path]) -> str:
    """A document as the site shows it."""
    parts = []
    for part in between(text):
        if isinstance(part, str):
            parts.append(turned(part, source, places))
        else:
            title = f' title="{part.file}"' if part.file else ""
            parts.append(f"```{part.language or 'text'}{title}\n{part.code}```")
    whole = "".join(parts)
    if places[source].parent.name == "tutorials" and blocks(text):
        head, rest = whole.split("\n", 1)
        whole = f"{head}\n\n[This page as a notebook]({source.stem}.ipynb)\n{rest}"
    return whole


def notebook(text: str) -> dict[str, Any]:
    """A document as a notebook: cells of code for what runs, cells of text for the rest."""
    cells: list[dict[str, Any]] = []
    pending = ""

    def flush() -> None:
        nonlocal pending
        kept = "\n".join(line for line in pending.splitlines() if not line.startswith("![")).strip()
        if kept:
            source = LINK.sub(lambda m: m[0] if "://" in m["target"] else m["text"], kept)
            cells.append({"cell_type": "markdown", "metadata": {}, "source": source})
        pending = ""

    for part in between(text):
        if isinstance(part, str):
            pending += part
        elif not part.runs:
            pending += f"```{part.language}\n{part.code}```"
        else:
            flush()
            source = part.code if part.language == "python" else "%%bash -e\n" + "\n".join(commands(part.code))
            code: dict[str, Any] = {
                "cell_type": "code",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source.rstrip(),
            }
            cells.append(code)
    flush()
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [{"id": f"cell-{i}", **cell} for i, cell in enumerate(cells)]
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def run_table(places: dict[Path, Path]) -> str:
    """A page: which document's code is run, where, and what is not."""
    lines = [
        "# Code that is run",
        "",
        "Blocks of code of each document: those that the tests run at every change, those that `nox -s docs` adds, and"
        " those that are not run, with the reason. The tests of how-to pages run the files that those pages show.",
        "",
        "| document | at every change | `nox -s docs` | not run |",
        "|---|---|---|---|",
    ]
    for source, place in sorted(places.items(), key=lambda pair: pair[1]):
        found = blocks(source.read_text(encoding="utf-8")) if source.suffix == ".md" else []
        ran = [one for one in found if one.runs]
        slow = [one for one in ran if one.slow or place.parent.name == "tutorials"]  # which run as notebooks
        quick = [one for one in ran if one not in slow]
        never = [one.mark.removeprefix("not run: ") for one in found if one.never]
        if quick or slow or never:
            reasons = "; ".join(dict.fromkeys(never))
            told = f"{len(never)}: {reasons}" if never else ""
            lines.append(f"| [{place.with_suffix('')}]({place}) | {len(quick) or ''} | {len(slow) or ''} | {told} |")
    return "\n".join(lines) + "\n"


def assemble(out: Path) -> None:
    """Everything that the site shows, below `out`."""
    shutil.rmtree(out, ignore_errors=True)
    places = sources()
    for source, place in places.items():
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            text = source.read_text(encoding="utf-8")
            (out / place).write_text(page(text, source, places), encoding="utf-8")
            if place.parent.name == "tutorials" and blocks(text):
                (out / place).with_suffix(".ipynb").write_text(json.dumps(notebook(text), indent=1), encoding="utf-8")
        else:
            shutil.copy(source, out / place)
    (out / "code.md").write_text(run_table(places), encoding="utf-8")


def loads_from_elsewhere(site: Path) -> list[str]:
    """What pages and styles of a site would load from other hosts."""
    loaded = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?https?://[^\"'> ]*|<link\b[^>]*>|url\([\"']?https?://[^)]*"
    )
    kinds = ("stylesheet", "preload", "preconnect", "icon", "modulepreload")
    found = []
    for path in sorted(p for p in site.rglob("*") if p.suffix in (".html", ".css")):
        for match in loaded.findall(path.read_text(encoding="utf-8")):
            if not match.startswith("<link") or ("://" in match and any(kind in match for kind in kinds)):
                found.append(f"{path.relative_to(site)}: {match[:120]}")
    return found


def build() -> None:
    """The site, in build/site.  SystemExit where anything is to be said against it."""
    assemble(ROOT / "build" / "docs")
    shutil.rmtree(ROOT / "build" / "site", ignore_errors=True)
    command = (sys.executable, "-m", "zensical", "build", "--strict", "--clean")
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, end="")
    if done.returncode:
        raise SystemExit("the site has faults, see above; mend them")
    said = [line for line in done.stdout.splitlines() if line.startswith("griffe:")]
    if any(not re.search(r"'\w+(, \w+)+'", line) for line in said):  # "seed, start: ..." describes two at once
        raise SystemExit("docstrings and signatures do not agree, see above; mend the docstrings")
    if found := loads_from_elsewhere(ROOT / "build" / "site"):
        raise SystemExit("the site loads from other hosts; it must work without a network:\n" + "\n".join(found))
    print(f"the site is {ROOT / 'build' / 'site' / 'index.html'}")


if __name__ == "__main__":
    build()
