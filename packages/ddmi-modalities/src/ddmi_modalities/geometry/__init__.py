"""Solids, cameras, pictures of surfaces, and surfaces of functions."""
