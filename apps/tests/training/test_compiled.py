"""What `compile` compiles: every network of a training, each as one graph."""

from __future__ import annotations

import json
import subprocess
import sys

# In a process of its own: the shape checker of the tests wraps functions in ways that the compiler cannot follow.
GRAPHS = """
import json
import torch
from ddmi import make_experiment
from ddmi.training.objectives import vae_objective
from ddmi_diffusion import Conditioning, DiTConfig, StepRandom, UNetConfig
from ddmi_diffusion.networks import networks

graphs = {}
def counted(name, network):
    def take(graph, inputs):
        graphs[name] = graphs.get(name, 0) + 1
        return graph.forward
    network.compile(backend=take)

experiment = make_experiment("openmoji", "test")
objective = vae_objective(experiment, experiment.vae.build(experiment.modality.layout), 2)
for network in networks(objective):
    counted(type(network).__name__, network)
data = experiment.modality.dataset("train")
batch = experiment.modality.collate([data[0], data[1]], StepRandom(0, 0, range(2)))
result = objective(batch, step=0, rng=StepRandom(0, 0, range(2)))
result["loss"].backward()

small = UNetConfig(width=32, multipliers=(1, 2), blocks=1), DiTConfig(width=32, depth=1)
for config in small:
    denoiser = config.build([(4, 8, 8)], "grid", condition=8)
    (network,) = networks(denoiser)
    counted(type(network).__name__, network)
    cond = Conditioning(torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool))
    denoiser(torch.randn(2, 4, 8, 8), torch.rand(2) * 1000, cond).square().mean().backward()
print(json.dumps(graphs))
"""


def test_each_network_is_one_graph() -> None:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", GRAPHS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    graphs = json.loads(run.stdout.splitlines()[-1])
    names = {"PlaneEncoder", "PlaneDecoder", "CoarseToFineReadOut", "PlaneUNet", "PlaneDiT"}
    assert graphs == dict.fromkeys(names, 1)
