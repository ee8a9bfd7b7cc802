"""Monthly winds of a Debian package as files that training reads, with their licence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ddmi_modalities.datasets.attribution import ATTRIBUTION
from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.files.deb import deb_control, deb_files, download_deb
from ddmi_modalities.sphere.modality import SphereModality

PACKAGE = "ferret-datasets"
WINDS = "usr/share/ferret-vis/data/monthly_navy_winds.cdf"
LICENCE = f"usr/share/doc/{PACKAGE}/copyright"
WHOSE = (
    "Monthly winds of the Fleet Numerical Oceanography Center (FNOC), 1982 to 1992, as the program Ferret of NOAA's "
    "Pacific Marine Environmental Laboratory distributes them (Ferret License Agreement: redistribution and use "
    "permitted with its notice; public domain, as is), from the Debian package ferret-datasets; the package's own "
    "statement is in the file copyright."
)
"""What is said of them; the file itself names no author."""


@dataclass(frozen=True, kw_only=True)
class SpherePreparation:
    """OUT/monthly_navy_winds.cdf and OUT/copyright, as they are in ferret-datasets_VERSION_all.deb.

    SOURCE is that file; without it, `apt-get download` fetches it.
    """

    def fetch(self, folder: Path) -> Path:
        """The package.  ValueError with the remedy where it cannot be had."""
        return download_deb(PACKAGE, folder)

    def plan(self, modality: SphereModality) -> Plan:
        """The package's two files.  ValueError where the source is something else."""
        package = Path(modality.source).expanduser().resolve()
        if package.suffix != ".deb":
            raise ValueError(
                f"prepare: {modality.source!r} is no .deb file; NetCDF files are read as they are; pass them to --data "
                "of `ddmi train`"
            )
        fields = deb_control(package)
        if fields.get("Package") != PACKAGE:
            raise ValueError(
                f"prepare: {modality.source!r} is the package {fields.get('Package')!r}, and the winds are in "
                f"{PACKAGE!r}; leave SOURCE out to fetch it"
            )
        return Plan(
            what="files of winds",
            source=package,
            items=[Item(name=Path(WINDS).name, split="time", sources=(".",), make=partial(_files, package))],
            settings={"package": PACKAGE, "version": fields.get("Version", "")},
            lists=lambda made: {ATTRIBUTION: WHOSE + "\n"},
        )


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    found = deb_files(package, {WINDS, LICENCE}.__contains__)
    for name in (WINDS, LICENCE):
        if name not in found:
            raise ValueError(f"{str(package)!r} has no file {name}; take version 7.6.0 of {PACKAGE} or a later one")
        yield Path(name).name, found[name]
