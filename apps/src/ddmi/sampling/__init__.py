"""Samples that outlast the command that makes them."""
