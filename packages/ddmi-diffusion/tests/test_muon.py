"""Muon: updates with equal singular values, and runs that take it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ddmi_diffusion import DiTConfig, Muon, PlaneDiT, PlaneUNet, Trainer, TrainerConfig, UNetConfig
from ddmi_diffusion.interruption import TrainingInterrupted
from ddmi_diffusion.muon import _even_shares, inner_matrices, is_matrix, orthogonalise
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.randomness import StepRandom
from ddmi_diffusion.trained_objective import MuonTakes, TrainedObjective


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 72), (2, 72, 8)])
def test_directions_stay_and_singular_values_become_equal(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vt = torch.linalg.svd(matrices, full_matrices=False)
    after = u.mT @ orthogonalise(matrices) @ vt.mT
    torch.testing.assert_close(after, torch.diag_embed(after.diagonal(dim1=1, dim2=2)), atol=1e-4, rtol=0)
    kept = after.diagonal(dim1=1, dim2=2)[s > 0.05 * s[:, :1]]
    assert kept.min() > 0.6
    assert kept.max() < 1.25
    torch.testing.assert_close(orthogonalise(1000 * matrices), orthogonalise(matrices), atol=1e-4, rtol=0)


def test_what_is_a_matrix() -> None:
    modules = [nn.Linear(16, 8), nn.Conv2d(4, 8, 3), nn.Linear(3, 64), nn.Linear(64, 1), nn.Conv2d(1, 64, 1)]
    assert [is_matrix(module.weight) for module in modules] == [True, True, False, False, False]
    assert not is_matrix(torch.zeros(64))
    with pytest.raises(ValueError, match=r"Muon: a parameter of shape \(64,\) is no matrix of at least 8 x 8; give it"):
        Muon([nn.Parameter(torch.zeros(64))])


def test_an_update_by_hand() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    start, gradient = weight.detach().clone(), torch.randn_like(weight)
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    weight.grad = gradient.clone()
    optimizer.step()
    momentum = 0.1 * gradient
    direction = (0.9 * momentum + 0.1 * gradient).flatten(1)
    step = 0.1 * 0.2 * 6 * orthogonalise(direction[None])[0]  # sqrt(36) columns
    torch.testing.assert_close(weight.detach(), 0.95 * start - step.view_as(start))


def test_autocast_to_bfloat16_changes_the_update_by_few_per_cent() -> None:
    gradient, after = torch.randn(32, 48, generator=torch.Generator().manual_seed(0)), []
    for half in (False, True):
        weight = nn.Parameter(torch.zeros(32, 48))
        weight.grad = gradient.clone()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            Muon([weight], lr=1.0).step()
        after.append(weight.detach())
    difference = (after[1] - after[0]).norm() / after[0].norm()
    assert 0 < difference < 0.05


def test_a_badly_scaled_map_is_learnt_in_steps_that_adamw_does_not_suffice_with() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(0, -2, 16)
    inputs = torch.randn(512, 16, generator=generator) * scales  # directions that carry a ten-thousandth of the energy
    truth = torch.randn(16, 16, generator=generator)

    def error(optimizer: str) -> float:
        weight = nn.Parameter(torch.zeros(16, 16))
        one: torch.optim.Optimizer = (
            Muon([weight], lr=0.05) if optimizer == "muon" else torch.optim.AdamW([weight], lr=0.05, weight_decay=0)
        )
        mixed = inputs @ torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))[0]
        target = inputs @ truth
        for _ in range(300):
            one.zero_grad()
            loss = (mixed @ weight - target).square().mean()
            loss.backward()
            one.step()
        return loss.item()

    assert error("muon") < 0.5 * error("adamw")


def test_shares_of_processes_are_even_and_leave_nothing_out() -> None:
    shares = _even_shares([5, 1, 4, 2, 2, 0], 3)
    assert sorted(i for share in shares for i in share) == list(range(6))
    assert [sum([5, 1, 4, 2, 2, 0][i] for i in share) for share in shares] == [5, 5, 4]
    assert _even_shares([7], 2) == [[0], []]


class Map(Objective):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 8))

    def forward(self, batch: Tensor, *, step: int, rng: StepRandom) -> dict[str, Tensor]:
        return {"loss": (self.net(batch) - batch.flip(1)).square().mean()}


def trainer(run: Path, muon_takes: MuonTakes | None = None, **changes: object) -> Trainer:
    settings: dict[str, object] = dict(steps=8, batch_size=4, learning_rate=1e-2, optimizer="muon", save_every=3)
    settings |= dict(precision="fp32", device="cpu", tracker="none", warmup=2, ema_every=1) | changes
    data = torch.randn(20, 8, generator=torch.Generator().manual_seed(2))
    config = TrainerConfig(**settings)  # type: ignore[arg-type]
    return Trainer(Map(), data, lambda items, rng: torch.stack(items), config, run, muon_takes=muon_takes)


def stop_at(run: Trainer, last: int) -> None:
    """Trains, and ends without saving in the step after step `last`."""
    apply = TrainedObjective.apply

    def stop(self: TrainedObjective, step: int, *, bf16: bool) -> float:
        if step == last:
            raise TrainingInterrupted("here")
        return apply(self, step, bf16=bf16)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainedObjective, "apply", stop)
        with pytest.raises(TrainingInterrupted):
            run.fit()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_with_muon_resumes_bit_for_bit(tmp_path: Path, precision: str) -> None:
    whole, stopped = (trainer(tmp_path / name, precision=precision) for name in ("whole", "stopped"))
    whole.fit()
    stop_at(stopped, 4)
    again = trainer(tmp_path / "stopped", precision=precision)
    again.fit(resume=True)
    for one, other in zip(whole.objective.parameters(), again.objective.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="made by another optimizer than 'adamw'; resume with its own"):
        trainer(tmp_path / "stopped", optimizer="adamw", steps=20, precision=precision).fit(resume=True)


def test_a_run_of_other_groups_goes_on_with_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such as one from before first and last layers went to AdamW."""
    caplog.set_level(logging.INFO, "ddmi")

    def every_matrix(name: str, parameter: nn.Parameter) -> bool:
        return is_matrix(parameter)

    whole = trainer(tmp_path / "whole", every_matrix)
    whole.fit()
    stop_at(trainer(tmp_path / "stopped", every_matrix), 4)
    again = trainer(tmp_path / "stopped")
    again.fit(resume=True)
    for one, other in zip(whole.objective.parameters(), again.objective.parameters(), strict=True):
        assert torch.equal(one, other)
    assert "as in the checkpoint, which differs from a new run in net.0.weight, net.4.weight" in caplog.text
    new = trainer(tmp_path / "new")
    new.fit()
    assert not torch.equal(new.objective.net[0].weight, whole.objective.net[0].weight)  # type: ignore[index, union-attr]


def test_a_run_of_adamw_does_not_go_on_with_muon(tmp_path: Path) -> None:
    stop_at(trainer(tmp_path, optimizer="adamw"), 4)
    with pytest.raises(
        ValueError, match="made by another optimizer than 'muon'; resume with its own, or start another"
    ):
        trainer(tmp_path).fit(resume=True)


def test_muon_serves_what_is_within_networks() -> None:
    unet = UNetConfig(width=16, multipliers=(1, 2), blocks=1, attention_factors=(1,), head_channels=8, positions=True)
    networks = [PlaneUNet([(8, 8, 8)], config=unet, condition=8)]
    networks += [PlaneDiT([(8, 8, 8)], config=DiTConfig(width=16, depth=2, head_channels=8), condition=8)]  # type: ignore[list-item]
    for network in networks:
        matrices = {name for name, parameter in network.named_parameters() if is_matrix(parameter)}
        left = matrices - inner_matrices(network)
        assert {name.partition(".")[0] for name in left} <= {"stem", "out", "position", "positions"}
        assert {"stem.weight", "out.weight"} <= left
        assert inner_matrices(network) < matrices
    block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    parts = {
        "text": nn.Sequential(nn.Embedding(50, 16), nn.TransformerEncoder(block, 1, enable_nested_tensor=False)),
        "pictures": nn.Sequential(*(nn.Conv2d(16, 16, 3) for _ in range(3))),
        "blocks": nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.Embedding(50, 16), nn.Linear(16, 16))]),
    }
    layers = ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight")
    assert inner_matrices(nn.ModuleDict(parts)) == {
        *(f"text.1.layers.0.{name}" for name in layers),
        "pictures.1.weight",
        "blocks.0.0.weight",
        "blocks.0.2.weight",
    }


def test_the_groups_can_be_chosen(tmp_path: Path) -> None:
    run = trainer(tmp_path, lambda name, parameter: name == "net.0.weight")
    groups = {type(one).__name__: names for names, one in run._model._optimizers}
    assert groups["Muon"] == ["net.0.weight"]
    assert groups["AdamW"] == ["net.0.bias", "net.2.weight", "net.2.bias", "net.4.weight", "net.4.bias"]
    with pytest.raises(ValueError, match=r"a parameter of shape \(16,\) is no matrix"):
        trainer(tmp_path, lambda name, parameter: True)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(16, 16), (8, 48), (48, 8)])
def test_it_is_torchs_muon(shape: tuple[int, int]) -> None:
    """Which computes in bfloat16 always: so do we, within autocast."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    settings = dict(lr=0.1, momentum=0.9, weight_decay=0.5)
    pair = [Muon([ours], **settings), torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings)]  # type: ignore[arg-type]
    for _ in range(5):
        gradient = torch.randn(shape, generator=generator)
        for weight, optimizer in zip((ours, theirs), pair, strict=True):
            weight.grad = gradient.clone()
            with torch.autocast("cpu", torch.bfloat16):
                optimizer.step()
    error = (ours - theirs).detach().norm() / (theirs - start).detach().norm()
    assert error < 0.01


def test_a_chain_has_two_ends_in_all() -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 16))

    class Chain(nn.Module):
        is_chain = True

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = network(), network()

    chain = Chain()
    inner = {"encoder.2.weight", "encoder.4.weight", "decoder.0.weight", "decoder.2.weight"}
    assert inner_matrices(chain) == inner
    chain.is_chain = False
    assert inner_matrices(chain) == {"encoder.2.weight", "decoder.2.weight"}
    beside = nn.ModuleDict({"chain": Chain(), "critic": network()})
    assert inner_matrices(beside) == {f"chain.{name}" for name in inner} | {"critic.2.weight"}
