"""How the stages of all recipes are trained, but for the preset `paper`."""

from __future__ import annotations

from typing import Any

from ddmi_diffusion import TrainerConfig


def training(*, steps: int, batch_size: int, learning_rate: float, **more: Any) -> TrainerConfig:
    """A cosine over all steps, and an average of the weights over a part of the last of them.

    `more` is of `TrainerConfig`.
    """
    settings: dict[str, Any] = dict(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=min(200, steps // 10),
        betas=(0.9, 0.99),
        # over 200 steps of a short run, a twelfth of one of 5,000 to 50,000, 4,000 of a longer one
        ema_decay=0.98 if steps <= 5000 else min(0.999, 1 - 1 / (0.02 * steps)),
        ema_every=4,
        save_every=max(250, steps // 20),
        sheet_every=max(500, steps // 20),
    )
    return TrainerConfig(**{**settings, **more})


def two_steps() -> TrainerConfig:
    """Preset test: that everything runs."""
    return TrainerConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, precision="fp32")
