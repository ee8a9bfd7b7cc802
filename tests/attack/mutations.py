"""Damage to files, drawn by seed: to their bytes, to the values of JSON, to numbers in text, to arrays of NPZ files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np

Damage = Callable[[bytes, Random], bytes]

# --- bytes -------------------------------------------------------------------------------------------------------


def truncated(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def flipped(content: bytes, rng: Random) -> bytes:
    """One to sixteen bits, half of the time near the beginning, where headers are."""
    changed = bytearray(content)
    reach = min(len(changed), 256) if rng.random() < 0.5 else len(changed)
    for _ in range(rng.choice((1, 1, 2, 4, 16)) if changed else 0):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def holed(content: bytes, rng: Random) -> bytes:
    """Zeros, as of a sector that was never written."""
    start, stop = _chunk(content, rng)
    return content[:start] + bytes(stop - start) + content[stop:]


def inserted(content: bytes, rng: Random) -> bytes:
    start, _ = _chunk(content, rng)
    return content[:start] + rng.randbytes(rng.randint(1, 64)) + content[start:]


def doubled(content: bytes, rng: Random) -> bytes:
    start, stop = _chunk(content, rng)
    return content[:stop] + content[start:]


def swapped(content: bytes, rng: Random) -> bytes:
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def appended(content: bytes, rng: Random) -> bytes:
    return content + (rng.randbytes(rng.randint(1, 512)) if rng.random() < 0.5 else content)


def emptied(content: bytes, rng: Random) -> bytes:
    return b""


BYTES: tuple[Damage, ...] = (truncated, flipped, holed, inserted, doubled, swapped, appended, emptied)


def _chunk(content: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice((1, 4, 16, 64, 512, 4096)))


# --- values of JSON ----------------------------------------------------------------------------------------------

HUGE = 10**400
DEEP = "deeply nested"
"""Stands for lists within lists, nearly as many as a parser takes, until it is written."""


def odd_value(rng: Random) -> Any:
    """Of a type, a size or a depth that nobody expects."""
    return rng.choice(
        (
            *(None, True, False, [], {}, "", [[]], [None], {"": None}, "x"),
            *(0, -1, 1, 2**31, 2**63, -(2**63), HUGE, -HUGE, 10**9, 0.5, -0.5, 1e300, 1e-300),
            *(float("nan"), float("inf"), -float("inf")),
            *("a" * 100_000, "\x1b[2Jred\x07\r\n", "../../etc/passwd", "/", "\ud800", "nan", "1e999"),
            *([0] * 10_000, DEEP, DEEP, {"type": "experiment"}, [1, "two", None]),
        )
    )


def another_value(content: bytes, rng: Random) -> bytes:
    """One value becomes another one."""
    data = json.loads(content)
    places = list(_places(data))
    if not places:
        return _dumped(odd_value(rng))
    holder, key = rng.choice(places)
    old = holder[key]
    if isinstance(old, bool) or not isinstance(old, int | float) or rng.random() < 0.6:
        holder[key] = odd_value(rng)
    else:
        holder[key] = rng.choice((-old, 0, old * 2, old + 1, old * 1e9, old / 1e9, str(old), [old]))
    return _dumped(data)


def field_gone(content: bytes, rng: Random) -> bytes:
    data = json.loads(content)
    places = list(_places(data))
    if places:
        holder, key = rng.choice(places)
        del holder[key]
    return _dumped(data)


def field_more(content: bytes, rng: Random) -> bytes:
    data = json.loads(content)
    holders = [data, *(holder[key] for holder, key in _places(data))]
    objects = [one for one in holders if isinstance(one, dict)]
    if objects:
        name = rng.choice(("extra", "", "type", "version", "\x1b[31m", "__class__", "a" * 5000))
        rng.choice(objects)[name] = odd_value(rng)
    return _dumped(data)


def fields_swapped(content: bytes, rng: Random) -> bytes:
    """Two values change places, in all of the document."""
    data = json.loads(content)
    places = list(_places(data))
    if places:
        (one, key), (other, place) = rng.choice(places), rng.choice(places)
        # copies, so that nothing holds itself
        one[key], other[place] = json.loads(json.dumps(other[place])), json.loads(json.dumps(one[key]))
    return _dumped(data)


def all_another(content: bytes, rng: Random) -> bytes:
    return _dumped(odd_value(rng))


def much_deeper(content: bytes, rng: Random) -> bytes:
    """More than a parser's stack holds."""
    return b"[" * 200_000 + b"]" * 200_000


JSON: tuple[Damage, ...] = (
    *(another_value,) * 6, field_gone, field_gone, field_more, fields_swapped, fields_swapped, all_another, much_deeper
)  # fmt: skip
"""`another_value` most of the time: it finds most."""


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Each holder with each of its keys, in any depth."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    for key in keys:
        yield data, key
        yield from _places(data[key])


def _dumped(data: Any) -> bytes:
    return json.dumps(data).replace(f'"{DEEP}"', "[" * 950 + "]" * 950).encode()


# --- text --------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ODD_WORDS = (
    *(b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1e300", b"1e-300", b"true", b"x", b"", b"2147483648"),
    *(b"2000000000", b"9" * 400, b"1e39", b"-0", b"0x10", b"1_0", b"1,5", b"\xff"),
)


def another_number(content: bytes, rng: Random) -> bytes:
    """One number of a text becomes another word."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return appended(content, rng)
    one = rng.choice(found[:40] if rng.random() < 0.5 else found)
    return content[: one.start()] + rng.choice(_ODD_WORDS) + content[one.end() :]


def line_gone(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def line_cut(content: bytes, rng: Random) -> bytes:
    """The end of one line is missing."""
    lines = content.splitlines(keepends=True)
    if lines:
        number = rng.randrange(len(lines))
        lines[number] = truncated(lines[number].rstrip(b"\n"), rng) + b"\n"
    return b"".join(lines)


def line_odd(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    odd = (b"\x1b[2J\n", b"\0\n", b"a" * 100_000 + b"\n", b"\xff\xfe\n", b'"\n', b"../../etc/passwd\n", b"\r")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(odd))
    return b"".join(lines)


TEXT: tuple[Damage, ...] = (another_number, another_number, another_number, line_gone, line_cut, line_odd)

# --- arrays ------------------------------------------------------------------------------------------------------


def odd_array(array: np.ndarray, rng: Random) -> np.ndarray:
    """Another type, shape or size, or a number that is none."""
    which = rng.randrange(10)
    if which == 0:
        return array.astype(np.complex64)
    if which == 1:
        return array.astype(str)
    if which == 2:
        return array.reshape(-1)
    if which == 3:
        return array[:0] if array.ndim else array.reshape(1)
    if which == 4:
        return array[: len(array) // 2] if array.ndim else array
    if which == 5:
        return array[None]
    if which == 6:
        return np.zeros((0,), array.dtype)
    if which == 7:
        return array.astype(rng.choice((np.int64, np.float16, np.bool_, np.float64, np.uint8)))
    changed = array.astype(np.float64) if array.dtype.kind in "iub" else array.copy()
    odd = rng.choice((float("nan"), float("inf"), -float("inf"), 1e300, -1e300, -1.0, 0.0))
    flat = changed.reshape(-1)
    if not flat.size:
        return changed
    if which == 8:
        flat[rng.randrange(flat.size)] = odd
    else:
        flat[:] = odd
    return flat.reshape(array.shape)


def another_array(content: bytes, rng: Random) -> bytes:
    """One array of an NPZ file is odd, or not there."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name] for name in stored}
    name = rng.choice(sorted(arrays))
    if rng.random() < 0.15:
        del arrays[name]
    else:
        with np.errstate(all="ignore"):
            arrays[name] = odd_array(arrays[name], rng)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


NPZ: tuple[Damage, ...] = (another_array,)


def another_tensor(content: bytes, rng: Random) -> bytes:
    """One tensor of a safetensors file is odd, or not there; or its header says something else."""
    from safetensors.numpy import load, save

    if rng.random() < 0.3:
        length = int.from_bytes(content[:8], "little")
        header = rng.choice((another_value, field_gone, field_more, fields_swapped))(content[8 : 8 + length], rng)
        return len(header).to_bytes(8, "little") + header + content[8 + length :]
    arrays = load(content)
    name = rng.choice(sorted(arrays))
    if rng.random() < 0.15:
        del arrays[name]
    else:
        with np.errstate(all="ignore"):
            odd = odd_array(arrays[name], rng)
        arrays[name] = np.ascontiguousarray(odd if odd.dtype.kind in "fiub" else odd_array(arrays[name], Random(8)))
    length = int.from_bytes(content[:8], "little")
    return save(arrays, json.loads(content[8 : 8 + length]).get("__metadata__"))


SAFETENSORS: tuple[Damage, ...] = (another_tensor,)

BY_SUFFIX: dict[str, tuple[Damage, ...]] = {
    ".json": JSON,
    ".npz": NPZ,
    ".safetensors": SAFETENSORS,
    **dict.fromkeys((".txt", ".lst", ".csv", ".yaml", ".obj", ".off", ".ply"), TEXT),
}
"""Damage that knows what a file holds."""


def damaged(name: str, content: bytes, rng: Random) -> tuple[bytes, str]:
    """Another content of a file of this name, and what was done to it; two thirds of the time by what it holds."""
    known = BY_SUFFIX.get("." + name.rpartition(".")[2].lower(), ())
    damage = rng.choice(known if known and rng.random() < 0.67 else BYTES)
    return damage(content, rng), damage.__name__
