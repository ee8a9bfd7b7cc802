"""Small files that ask for endless work are refused at once, by name."""

from __future__ import annotations

import json
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddmi.experiment.config import LONGEST
from ddmi.importing.pickled_tuples import DEEPEST, TooDeep, check_tuples
from ddmi.importing.settings import _read
from ddmi.importing.unpickling import read_checkpoint
from ddmi.registry import make_experiment
from ddmi.serialization import experiment_text, read_experiment_file
from ddmi_modalities import memory
from ddmi_modalities.files.npz import read_npz

from ..command_line import fails


def doubled(times: int) -> Any:
    value: Any = ()
    for _ in range(times):
        value = (value, value)
    return value


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_tuples_of_themselves(protocol: int) -> None:
    check_tuples(pickle.dumps({doubled(DEEPEST - 3): 1, "weights": [doubled(3), {"a": (1, 2.0, (3,))}]}, protocol))
    start = time.monotonic()
    with pytest.raises(TooDeep, match=f"tuples are nested more than {DEEPEST} deep"):
        check_tuples(pickle.dumps([1, doubled(60)], protocol))
    assert time.monotonic() - start < 30, "by its description, and not by its content"


def test_a_checkpoint_keyed_by_such_a_tuple(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "sound.pt")
    file = tmp_path / "attack.pt"
    with zipfile.ZipFile(tmp_path / "sound.pt") as sound, zipfile.ZipFile(file, "w") as attack:
        for name in sound.namelist():
            content = sound.read(name)
            # the key is hashed where the dictionary is made: here only its pickle is written
            attack.writestr(name, pickle.dumps([doubled(60), 1], 2) if name.endswith("data.pkl") else content)
    with pytest.raises(ValueError, match=r"attack\.pt: refused, because tuples are nested more than"):
        read_checkpoint(file)


def test_a_flipped_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    torch.save({"weights": torch.arange(4096.0)}, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pt: .*the checksum of .* is wrong"):
        read_checkpoint(file)


def test_aliases_of_yaml_are_not_followed(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"a\.yaml: .*line 2 refers to an anchor; write its value out"):
        _read(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("path", "value"), [(("vae", "encoder", "blocks"), 10**7), (("vae", "decoder", "width"), 10**9),
                        (("diffusion", "noise", "steps"), 10**9), (("vae", "latent_channels"), 10**12),
                        (("vae", "decoder", "groups"), -8)]
)  # fmt: skip
def test_networks_that_nobody_builds(tmp_path: Path, path: tuple[str, ...], value: int, capsys: Any) -> None:
    data = json.loads(experiment_text(make_experiment("openmoji", "test")))
    node = data
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"config\.json: {'.'.join(path)} is {value}, and networks have 0 to"):
        read_experiment_file(tmp_path / "config.json")
    line = ["train", "openmoji", "--preset", "test", "--set", f"{'.'.join(path)}={value}", "--run", tmp_path / "run"]
    assert f"{'.'.join(path)} is {value}" in fails(capsys, *line)
    assert not 0 <= value <= LONGEST


def test_an_archive_of_zeros_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", points=np.zeros((200_000, 3)))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    monkeypatch.setattr(
        memory, "psutil", type("Poor", (), {"virtual_memory": lambda: type("M", (), {"available": 2**20})})
    )
    with pytest.raises(ValueError, match=r"unpacking .*a\.npz needs about 5 MB of memory, and 1 MB are free"):
        read_npz(tmp_path / "a.npz", ["points"], remedy="none")
