"""The commands of the line, one file each: a dataclass of options with `run(rest)`."""
