"""Encoders that serve several kinds of signal."""
