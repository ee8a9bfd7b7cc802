"""One HTML document for all: styles, scripts and data are inside, so that it needs nothing else from anywhere."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from ddmi.explorer.explored import Explored
from ddmi.explorer.three import three_js
from ddmi_modalities.exploration import Exploration

PAGE = files("ddmi.explorer") / "page"


def live_page(models: Sequence[Explored]) -> str:
    """The page of a server that answers."""
    return document([model.exploration for model in models], {"live": True, "models": []}, "DDMI")


def document(explorations: Sequence[Exploration], data: Mapping[str, Any], title: str) -> str:
    """The document.

    Args:
        explorations: of the kinds of signal that are shown.
        data: what the page's script starts from, as JSON.
        title: of the browser's window.
    """
    solid = any(one.solid for one in explorations)
    views = [script_of(script) for script in dict.fromkeys(one.script for one in explorations)]
    before, after = ([three_js()], [text("solid.js")]) if solid else ([], [])
    scripts = [*before, text("page.js"), *after, *views, "ddmi.start();"]
    tags = "\n".join(f"<script>{one.replace('</script', chr(60) + chr(92) + '/script')}</script>" for one in scripts)
    # a "<" inside of a script could end it
    facts = json.dumps(data).replace("<", "\\u003c")
    parts = {"TITLE": html.escape(title), "STYLE": text("page.css"), "DATA": facts, "SCRIPTS": tags}
    return re.sub("|".join(parts), lambda found: parts[found[0]], text("page.html"))  # at once: no part is looked into


def text(name: str) -> str:
    """A file of the page."""
    return (PAGE / name).read_text(encoding="utf-8")


def script_of(address: str) -> str:
    """The script of "package:file"."""
    package, _, name = address.partition(":")
    return (files(package) / name).read_text(encoding="utf-8")
