"""The space-time encoder."""
