from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ddmi_diffusion.ema import ExponentialMovingAverage


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2).requires_grad_(False))


def drift(net: nn.Module) -> None:
    with torch.no_grad():
        for tensor in [*net[0].parameters(), net[1].running_mean]:  # type: ignore[index]
            tensor.add_(torch.randn_like(tensor))


def test_it_equals_the_formula_written_out() -> None:
    net = module()
    ema = ExponentialMovingAverage(net, decay=0.6, every=3)
    slow = net[0].weight.detach().double().clone()  # type: ignore[index]
    for step in range(1, 31):
        drift(net)
        ema.update(step)
        if step % 3 == 0:
            n = step // 3
            decay = min(0.6, (1 + n) / (10 + n))
            slow = decay * slow + (1 - decay) * net[0].weight.detach().double()  # type: ignore[index]
    torch.testing.assert_close(ema.state_dict()["0.weight"].double(), slow, rtol=1e-5, atol=1e-6)


def test_buffers_are_copied_and_frozen_parameters_are_not_kept() -> None:
    net = module()
    ema = ExponentialMovingAverage(net)
    assert not {"2.weight", "1.num_batches_tracked"} & ema.state_dict().keys()
    drift(net)
    ema.update(1)
    assert torch.equal(ema.state_dict()["1.running_mean"], net[1].running_mean)  # type: ignore[index]
    assert not torch.equal(ema.state_dict()["1.weight"], net[0].weight)  # type: ignore[index]


class Turning(nn.Module):
    """Assigns a new tensor to its buffer, and a new parameter, as a module may."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("direction", torch.tensor([1.0, 0.0]))

    def turn(self) -> None:
        self.direction = torch.tensor([0.0, 1.0])
        self.weight = nn.Parameter(torch.ones(2))


def test_tensors_that_a_module_has_assigned_anew_are_seen() -> None:
    net = Turning()
    ema = ExponentialMovingAverage(net, decay=0.0)
    ema.update(1)
    net.turn()
    ema.update(2)
    assert ema.state_dict()["direction"].tolist() == [0.0, 1.0]
    assert ema.state_dict()["weight"].tolist() == [1.0, 1.0]
    twin = Turning()
    with ema.applied(twin):
        assert twin.direction.tolist() == [0.0, 1.0]
        twin.turn()
    assert twin.direction.tolist() == [1.0, 0.0]


def test_without_steps_calls_are_counted() -> None:
    module, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.load_state_dict(module.state_dict())
    counted, told = (ExponentialMovingAverage(one, 0.9, every=2) for one in (module, other))
    for step in range(1, 8):
        with torch.no_grad():
            module.weight.add_(1.0)
            other.weight.add_(1.0)
        counted.update()
        told.update(step)
    assert all(torch.equal(value, told.state_dict()[name]) for name, value in counted.state_dict().items())
    # an average that was loaded is not forgotten: the decay is the full one
    again = ExponentialMovingAverage(module, 0.9)
    again.load_state_dict(counted.state_dict())
    before = counted.state_dict()["weight"].clone()
    again.update()
    torch.testing.assert_close(again.state_dict()["weight"], 0.9 * before + 0.1 * module.weight.detach())


def test_a_negative_step_is_refused() -> None:
    ema = ExponentialMovingAverage(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"wants the number of steps done, got -1; call update\(step \+ 1\)"):
        ema.update(-1)


def test_low_precision_weights_are_averaged_in_float32() -> None:
    net = nn.Linear(2, 2).to(torch.bfloat16)
    assert ExponentialMovingAverage(net).state_dict()["weight"].dtype == torch.float32


def test_applied_swaps_in_and_out_even_after_an_error() -> None:
    net = module()
    ema = ExponentialMovingAverage(net)
    drift(net)
    own = {k: v.clone() for k, v in net.state_dict().items()}

    def fail() -> None:
        with ema.applied(net):
            assert torch.equal(net.state_dict()["0.weight"], ema.state_dict()["0.weight"])
            assert not torch.equal(net.state_dict()["0.weight"], own["0.weight"])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(torch.equal(v, own[k]) for k, v in net.state_dict().items())


def test_state_goes_round_and_misfits_are_named() -> None:
    net = module()
    ema, other = ExponentialMovingAverage(net), ExponentialMovingAverage(net)
    drift(net)
    ema.update(1)
    other.load_state_dict({k: v.clone() for k, v in ema.state_dict().items()})
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in ema.state_dict().items())
    with pytest.raises(ValueError, match=r"'0.weight' is \(5, 3\) in the saved state and \(4, 3\)"):
        other.load_state_dict({**ema.state_dict(), "0.weight": torch.zeros(5, 3)})
    with pytest.raises(ValueError, match=r"'extra' is .* and absent in this module"):
        other.load_state_dict({**ema.state_dict(), "extra": torch.zeros(1)})


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\)"):
        ExponentialMovingAverage(module(), decay=1.0)
    with pytest.raises(ValueError, match="every must be at least 1"):
        ExponentialMovingAverage(module(), every=0)


def test_buffers_that_are_not_saved_are_left_alone() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]), persistent=False)
    average = ExponentialMovingAverage(module, 0.9)
    average.update(1)
    average.copy_to(module)
    assert module.mask.tolist() == [0.0, -torch.inf]
    assert set(average.state_dict()) == {"weight", "bias"}


def test_an_update_is_one_operation_for_all_weights() -> None:
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(50)))
    ema = ExponentialMovingAverage(net)
    names: list[str] = []

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
            names.append(str(function))
            return function(*arguments, **(options or {}))

    with Watched():
        ema.update()
    assert [name for name in names if "detach" not in name] == ["aten._foreach_lerp_.Scalar"]
