"""Checkpoints of other implementations become models."""
