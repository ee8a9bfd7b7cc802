"""The machine: processes, memory, files."""
