"""Runs measured, and tabulated."""
