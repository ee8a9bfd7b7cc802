from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ddmi_diffusion import precision
from ddmi_diffusion.learning_rate import Constant, WarmupCosine
from ddmi_diffusion.trainer_config import TrainerConfig


def test_warm_up_then_cosine_to_the_floor() -> None:
    rate = WarmupCosine(peak=1.0, warmup=4, total=14, floor=0.2)
    assert [rate(s) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert math.isclose(rate(9), 0.6)
    assert math.isclose(rate(14), 0.2)
    assert rate(10**6) == pytest.approx(0.2)
    assert rate(5) > rate(6) > rate(13) > 0.2


def test_it_is_torchs_cosine() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.01)
    ours = WarmupCosine(0.3, 0, 20, 0.01)
    for step in range(20):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_constant_and_a_warm_up_longer_than_the_run() -> None:
    assert [Constant(2.0, 2)(s) for s in range(4)] == [1.0, 2.0, 2.0, 2.0]
    assert [WarmupCosine(1.0, 100, 10)(s) for s in (0, 9)] == [0.01, 0.1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 3, "accumulate": 4}, "make it 4 or more"),
        ({"learning_rate": 0.0}, "need 0 <= floor <= peak"),
        ({"schedule": "constant", "learning_rate": 0.0}, "need peak > 0"),
        ({"warmup": -1}, "warmup >= 0"),
        ({"schedule": "step"}, "choose 'cosine' or 'constant'"),
        ({"betas": (0.9, 1.0)}, "betas must be two numbers"),
        ({"weight_decay": -1.0}, "weight_decay must be >= 0"),
        ({"grad_clip": 0.0}, "None switches it off"),
        ({"ema_decay": 1.0}, "ema_decay must lie in"),
        ({"precision": "fp16"}, "choose 'auto', 'fp32' or 'bf16'"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
@pytest.mark.usefixtures("_untyped")
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainerConfig(**({"steps": 1, "batch_size": 4} | change))


@pytest.mark.parametrize(("fp32", "bf16", "choice"), [(1.0, 0.9, "fp32"), (1.0, 0.5, "bf16"), (1.0, 2.0, "fp32")])
def test_bf16_is_taken_only_where_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, choice: str
) -> None:
    monkeypatch.setattr(precision, "_seconds", lambda dtype, device: fp32 if dtype is torch.float32 else bf16)
    assert precision.choose_precision("auto", "cpu") == choice


@pytest.mark.usefixtures("_untyped")
def test_a_request_is_obeyed_and_auto_measures() -> None:
    assert precision.choose_precision("bf16", "cpu") == "bf16"
    assert precision.choose_precision("fp32", "cpu") == "fp32"
    assert precision.choose_precision("auto", "cpu") in ("fp32", "bf16")
    with pytest.raises(ValueError, match="choose 'auto', 'fp32' or 'bf16'"):
        precision.choose_precision("fp16", "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(("able", "choice"), [(True, "bf16"), (False, "fp32")])
def test_gpus_take_bf16_where_their_hardware_has_it(monkeypatch: pytest.MonkeyPatch, able: bool, choice: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able and not including_emulation)
    assert precision.choose_precision("auto", "cuda") == choice


@pytest.mark.parametrize(("device", "within"), [("cuda", "high"), ("cpu", "highest")])
def test_gpus_multiply_float32_as_tf32_while_they_train(device: str, within: str) -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    with precision.fast_products(torch.device(device)):
        assert torch.get_float32_matmul_precision() == within
    assert torch.get_float32_matmul_precision() == "highest"
