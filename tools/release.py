"""Releases one package: `python tools/release.py NAME VERSION` (through `nox -s release -- NAME VERSION`).

Bumps its version, gives its changelog a heading, moves the bounds in siblings that require it, refreshes the lock,
commits, builds dist/NAME-VERSION and tags NAME-vVERSION.  Nothing is pushed.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def folder(name: str) -> Path:
    """Where the package's pyproject.toml is."""
    for path in (*sorted((ROOT / "packages").iterdir()), ROOT / "apps"):
        if re.search(rf'^name = "{re.escape(name)}"$', (path / "pyproject.toml").read_text(), re.MULTILINE):
            return path
    raise SystemExit(f"release: no package is called {name!r}")


def bounds(version: str) -> str:
    """Compatible versions: the next minor of a 0.x, the next major after that, is the first to break."""
    major, minor, _ = map(int, version.split("."))
    upper = f"0.{minor + 1}" if major == 0 else str(major + 1)
    return f">={version.removesuffix('.0')},<{upper}"


def bump(name: str, version: str, today: str) -> list[Path]:
    """Edits the files of a release; returns those that changed."""
    home = folder(name)
    changed = []

    def edit(path: Path, pattern: str, replacement: str) -> int:
        before = path.read_text()
        after, count = re.subn(pattern, replacement, before, flags=re.MULTILINE)
        if after != before:
            path.write_text(after)
            changed.append(path)
        return count

    project = home / "pyproject.toml"
    old = re.search(r'^version = "(\d+)\.(\d+)\.(\d+)"$', project.read_text(), re.MULTILINE)
    assert old is not None, project
    if tuple(map(int, version.split("."))) <= tuple(map(int, old.groups())):
        raise SystemExit(f"release: {name} is at {'.'.join(old.groups())}; {version} is not newer")
    if not edit(home / "CHANGELOG.md", r"^## Unreleased$", f"## {version} ({today})"):
        raise SystemExit(f"release: {home / 'CHANGELOG.md'} has no '## Unreleased' heading; say there what changed")
    edit(project, r'^version = ".*"$', f'version = "{version}"')
    for sibling in (*(ROOT / "packages").glob("*/pyproject.toml"), ROOT / "apps" / "pyproject.toml"):
        edit(sibling, rf'"{re.escape(name)}(\[[a-z,]+\])?>=[^"]*"', rf'"{name}\g<1>{bounds(version)}"')
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description="Release one package.")
    parser.add_argument("name")
    parser.add_argument("version", help="MAJOR.MINOR.PATCH")
    parser.add_argument("--dry-run", action="store_true", help="edit the files only: no lock, commit, build or tag")
    arguments = parser.parse_args()
    if not re.fullmatch(r"\d+\.\d+\.\d+", arguments.version):
        raise SystemExit(f"release: version {arguments.version!r} is not MAJOR.MINOR.PATCH")

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    if not arguments.dry_run and git("status", "--porcelain"):
        raise SystemExit("release: the working tree has changes; commit them first")
    changed = bump(arguments.name, arguments.version, datetime.date.today().isoformat())
    print("changed:", *(path.relative_to(ROOT) for path in changed), sep="\n  ")
    if arguments.dry_run:
        return
    subprocess.run(["uv", "lock", "-q"], cwd=ROOT, check=True)
    git("commit", "-qam", f"Release {arguments.name} {arguments.version}")
    build = ["uv", "build", "-q", "--package", arguments.name, "--no-sources", "-o", "dist"]
    subprocess.run(build, cwd=ROOT, check=True)
    git("tag", f"{arguments.name}-v{arguments.version}")
    print(f"built dist/, tagged {arguments.name}-v{arguments.version}; push with git push --follow-tags")


if __name__ == "__main__":
    main()
