"""DDMI: domain-agnostic latent diffusion for implicit neural representations."""

from ddmi.experiment import Experiment
from ddmi.pipeline import DDMI
from ddmi.recipes import RECIPES, make_experiment

__all__ = ["DDMI", "RECIPES", "Experiment", "make_experiment"]
