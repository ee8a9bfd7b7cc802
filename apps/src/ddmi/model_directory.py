"""Where a model lies: a path, a repository on the Hugging Face hub, or an installed distribution that announces it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from ddmi.registry import installed_models
from ddmi_modalities.datasets.attribution import ATTRIBUTION

HUB = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
"""A repository on the Hugging Face hub: hf:OWNER/NAME, or hf:OWNER/NAME@REVISION."""
PATTERNS = ["*.json", "*.safetensors"]
"""Files of a model there."""

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


def check_repository(repo_id: str) -> None:
    """ValueError for what is no OWNER/NAME."""
    named = HUB.fullmatch(f"hf:{repo_id}")
    if named is None or named["revision"] is not None:
        raise ValueError(f"{repo_id!r} names no repository to write to; write OWNER/NAME")


def upload(directory: Path, repo_id: str, *, private: bool | None = None) -> str:
    """Makes the files of a directory those of a repository on the hub, in one commit, of which it returns the address.

    The repository is made where it is not there; other JSON and safetensors files in it are removed, which its history
    keeps.  ValueError with the remedy where the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of whatever it asks the network with

    check_repository(repo_id)
    hub = HfApi()
    try:
        hub.create_repo(repo_id, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repo_id, folder_path=directory, allow_patterns=[*PATTERNS, ATTRIBUTION, "README.md"],
            delete_patterns=[*PATTERNS, ATTRIBUTION], commit_message="Upload a DDMI model",
        )  # fmt: skip
    except (HTTPError, OSError, ValueError) as error:
        raise ValueError(
            f"{repo_id!r} could not be written to ({_reason(error)}); see to the network, and log in "
            "with `hf auth login` as somebody who may write there"
        ) from error
    logger.info("hf:%s is %s", repo_id, commit.commit_url)
    return commit.commit_url


def _snapshot(text: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    named = HUB.fullmatch(text)
    if named is None:
        raise ValueError(f"{text!r} names no repository; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    try:
        path = Path(
            snapshot_download(named["name"], revision=named["revision"], allow_patterns=[*PATTERNS, ATTRIBUTION])
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(f"{text!r} could not be had ({_reason(error)})") from error
    logger.info("%s is commit %s", text, path.name)
    return path


def _reason(error: Exception) -> str:
    """Its first line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
