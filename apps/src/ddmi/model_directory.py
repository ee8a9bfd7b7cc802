"""Where a model lies: a path, a repository on the Hugging Face hub, or an installed distribution that announces it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from ddmi.registry import installed_models

HUB = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
"""A repository on the Hugging Face hub: hf:OWNER/NAME, or hf:OWNER/NAME@REVISION."""

logger = logging.getLogger("ddmi")


def model_directory(source: Path | str) -> Path:
    """A local directory, the snapshot of a repository that `HUB` names, or that of an installed model, in this order.

    Nothing but hf:... leads to the network.  ValueError for what is none of these.
    """
    text = str(source)
    if text.startswith("hf:"):
        return _snapshot(text)
    path = Path(source).expanduser()
    if path.exists():
        return path
    if text in installed_models():
        return installed_models()[text]
    if HUB.fullmatch(f"hf:{text}"):
        raise ValueError(f"there is no directory {text!r} here; a repository on the hub is named hf:{text}")
    if re.fullmatch(r"[\w-]+", text):
        known = ", ".join(sorted(installed_models())) or "none"
        raise ValueError(
            f"there is no directory {text!r} here, and no installed model of this name (installed: {known}); install "
            "the distribution that announces it, such as ddmi-models (`uv pip install ddmi-models`), or train one with "
            "`ddmi train RECIPE`"
        )
    return path


def _snapshot(text: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    named = HUB.fullmatch(text)
    if named is None:
        raise ValueError(f"{text!r} names no repository; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    try:
        patterns = ["*.json", "*.safetensors"]
        path = Path(snapshot_download(named["name"], revision=named["revision"], allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(f"{text!r} could not be had ({str(error).splitlines()[0]})") from error
    logger.info("%s is commit %s", text, path.name)
    return path
