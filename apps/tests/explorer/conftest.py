from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import uvicorn

from ddmi import DDMI
from ddmi.explorer.explored import Explored
from ddmi.explorer.server import explorer
from ddmi.registry import make_experiment
from ddmi_diffusion import LatentSpace

RECIPES = ("openmoji", "furniture", "turntable", "moving-openmoji", "furniture-text")


def untrained(recipe: str) -> DDMI:
    """A model of preset test with the weights that it starts from."""
    torch.manual_seed(0)
    experiment = make_experiment(recipe, "test")
    settings = experiment.diffusion
    vae = experiment.vae.build(experiment.modality.layout)
    data = experiment.modality.dataset("train")
    with torch.no_grad():
        posterior = vae.encode(experiment.modality.inputs([data[0], data[1]]))
    latent_space = LatentSpace.fit([(posterior.mean, posterior.std)], settings.packing)
    diffusion = settings.build(latent_space.plane_shapes, latent_space.shape)
    text = None if settings.text is None else settings.text.build()
    return DDMI(experiment, vae, latent_space, diffusion, text).eval()


@pytest.fixture(scope="session")
def explored() -> Mapping[str, Explored]:
    return {recipe: Explored(recipe, untrained(recipe)) for recipe in RECIPES}


@dataclass
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.body.decode().splitlines()]


@dataclass
class Client:
    """Of a server in this process."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, path: str, data: bytes | None = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data, names)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), dict(error.headers))


def running(models: Mapping[str, Explored], token: str | None = None) -> Iterator[Client]:
    """A client of a server that runs meanwhile."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(explorer(models, token), log_level="warning", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.05)
        yield Client(listening.getsockname()[1])
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def ask(explored: Mapping[str, Explored]) -> Iterator[Client]:
    yield from running(explored)
