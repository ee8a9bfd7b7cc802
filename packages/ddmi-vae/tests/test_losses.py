from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from ddmi_vae import Losses, Ramp, Term, TermConfig


@dataclass(frozen=True, kw_only=True)
class Constant(TermConfig):
    def build(self) -> Term:
        return lambda prediction, target, query, step: torch.full((len(prediction),), self.weight)


@dataclass(frozen=True, kw_only=True)
class TwoTerms(Losses):
    first: TermConfig | None = None
    second: TermConfig | None = None


def test_terms_are_built_by_name_and_those_without_weight_are_left_out() -> None:
    assert TwoTerms().terms() == {}
    terms = TwoTerms(first=Constant(weight=0.5), second=Constant(weight=0.0)).terms()
    assert list(terms) == ["first"]
    assert terms["first"](torch.zeros(2, 1, 1), None, None, 0).tolist() == [0.5, 0.5]
    assert list(TwoTerms(first=Constant(), second=Constant()).terms()) == ["first", "second"]


def test_ramps() -> None:
    ramp = Ramp(start=1.0, stop=3.0, steps=4)
    assert [ramp(step) for step in (0, 1, 4, 9)] == [1.0, 1.5, 3.0, 3.0]
    assert Ramp(start=1.0, stop=3.0)(0) == 3.0


def test_schedules_rise_linearly_and_fall_geometrically() -> None:
    losses = Losses(kl_weight=0.4, kl_start=0.2, kl_ramp=0.5, spectral_weight=0.01, spectral_start=1.0)
    kl, spectral = losses.kl_schedule(100), losses.spectral_schedule(100)
    assert spectral is not None
    assert [kl(step) for step in (0, 25, 50, 100)] == pytest.approx([0.2, 0.3, 0.4, 0.4])
    assert [spectral(step) for step in (0, 25, 50, 100)] == pytest.approx([1.0, 0.1, 0.01, 0.01])
    constant = Losses(spectral_weight=0.3).spectral_schedule(100)
    assert constant is not None
    assert [constant(step) for step in (0, 50, 100)] == pytest.approx([0.3] * 3)
    assert Losses().spectral_schedule(100) is None
