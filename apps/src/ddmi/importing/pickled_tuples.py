"""How deeply tuples are nested in a pickle, found without making anything of it.

A tuple's hash is that of all it holds: one that is made of itself twice, sixty times over, fits into a hundred bytes
and keeps whoever puts it into a dictionary busy for ever.
"""

from __future__ import annotations

import pickletools

DEEPEST = 20
"""Levels of tuples within tuples; checkpoints of weights have about three."""
MOST = 50_000_000
"""Operations of a pickle."""

_MADE = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_FETCHED = ("GET", "BINGET", "LONG_BINGET")
_KEPT = ("PUT", "BINPUT", "LONG_BINPUT")


class TooDeep(ValueError):
    """Tuples are nested too deeply, or there is too much of everything."""


def check_tuples(content: bytes) -> None:
    """Raises TooDeep, or what pickletools does for what is no pickle.

    The depths of the values on the stack are followed, operation by operation; that of anything but a tuple is the
    depth of the deepest that went into it.
    """
    stack: list[int | None] = []  # None is a mark
    memo: dict[int, int] = {}
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if number > MOST:
            raise TooDeep(f"it has more than {MOST} operations")
        name = operation.name
        if name in _FETCHED:
            stack.append(memo.get(int(argument), 0))  # type: ignore[arg-type]
        elif name in _KEPT or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else int(argument)] = (stack[-1] if stack else 0) or 0  # type: ignore[arg-type]
        elif name == "DUP":
            stack.append(stack[-1] if stack else 0)
        elif name == "MARK":
            stack.append(None)
        else:
            taken = _taken(stack, operation, _MADE.get(name))
            depth = max(taken, default=0) + (name == "TUPLE" or name in _MADE)
            if depth > DEEPEST:
                raise TooDeep(f"tuples are nested more than {DEEPEST} deep")
            stack.extend([depth] * len(operation.stack_after))


def _taken(stack: list[int | None], operation: pickletools.OpcodeInfo, count: int | None) -> list[int]:
    """The depths of what an operation takes from the stack."""
    before = operation.stack_before
    taken: list[int] = []
    if pickletools.markobject in before:
        while stack and (top := stack.pop()) is not None:
            taken.append(top)
        before = before[: before.index(pickletools.markobject)]
    for _ in range(len(before) if count is None else count):
        if stack:
            taken.append(stack.pop() or 0)
    return taken
