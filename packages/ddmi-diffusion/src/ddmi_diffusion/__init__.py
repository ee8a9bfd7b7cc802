"""Latent diffusion over planes, and a trainer that resumes bit for bit."""

from importlib.metadata import version

from ddmi_diffusion.atomic_files import CheckpointError, atomic_write_text, save_tensors
from ddmi_diffusion.checkpoint import checkpoint_step, latest_checkpoint, load_checkpoint, save_checkpoint
from ddmi_diffusion.conditioning import Conditioner, Conditioning, encode_prompts
from ddmi_diffusion.data_order import DataOrder
from ddmi_diffusion.denoiser import Denoiser, DenoiserConfig, PlaneDenoiser
from ddmi_diffusion.diffusers_denoiser import DiffusersDenoiser
from ddmi_diffusion.diffusion import Guidance, LatentDiffusion
from ddmi_diffusion.dit import DiTConfig, PlaneDiT
from ddmi_diffusion.divergence import NonFiniteLossError
from ddmi_diffusion.ema import ExponentialMovingAverage
from ddmi_diffusion.held_out import HeldOut
from ddmi_diffusion.interruption import TrainingInterrupted
from ddmi_diffusion.latent_cache import LatentCache
from ddmi_diffusion.latent_objective import DiffusionObjective, LatentBatch
from ddmi_diffusion.latent_space import LatentSpace, Planes, split_planes
from ddmi_diffusion.mean_flow import MeanFlowObjective
from ddmi_diffusion.muon import Muon
from ddmi_diffusion.noise import NoiseConfig
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.progress import Progress
from ddmi_diffusion.prompted_latents import PromptedLatents
from ddmi_diffusion.randomness import StepRandom, seeded_normal
from ddmi_diffusion.run_lock import alone_in
from ddmi_diffusion.schedulers import make_scheduler
from ddmi_diffusion.trained_objective import ParameterSettings
from ddmi_diffusion.trainer import Trainer
from ddmi_diffusion.trainer_config import OptimizerConfig, TrainerConfig
from ddmi_diffusion.unet import PlaneUNet, UNetConfig

__version__ = version("ddmi-diffusion")

__all__ = [
    "CheckpointError",
    "Conditioner",
    "Conditioning",
    "DataOrder",
    "Denoiser",
    "DenoiserConfig",
    "DiTConfig",
    "DiffusersDenoiser",
    "DiffusionObjective",
    "ExponentialMovingAverage",
    "Guidance",
    "HeldOut",
    "LatentBatch",
    "LatentCache",
    "LatentDiffusion",
    "LatentSpace",
    "MeanFlowObjective",
    "Muon",
    "NoiseConfig",
    "NonFiniteLossError",
    "Objective",
    "OptimizerConfig",
    "ParameterSettings",
    "PlaneDenoiser",
    "PlaneDiT",
    "PlaneUNet",
    "Planes",
    "Progress",
    "PromptedLatents",
    "StepRandom",
    "Trainer",
    "TrainerConfig",
    "TrainingInterrupted",
    "UNetConfig",
    "alone_in",
    "atomic_write_text",
    "checkpoint_step",
    "encode_prompts",
    "latest_checkpoint",
    "load_checkpoint",
    "make_scheduler",
    "save_checkpoint",
    "save_tensors",
    "seeded_normal",
    "split_planes",
]
