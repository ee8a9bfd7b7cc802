"""`ddmi` and `python -m ddmi`, and `accelerate launch -m ddmi` for several processes."""

import sys


def run() -> int:
    """The command of the line; an interrupt while that is imported is one as any other."""
    try:
        from ddmi.cli import main
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(run())
