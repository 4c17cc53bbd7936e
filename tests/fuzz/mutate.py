"""Small changes that make a valid value an odd one."""

import copy
import math
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 7, 255, 256, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30,
    0.5, -0.5, 1.5, -0.0, 1e-9, 1e-300, 5e-324, 1e9, 1e300, -1e300, math.nan, math.inf, -math.inf,
)  # fmt: skip
THINGS: tuple[Any, ...] = (
    None, True, False, "", "x", "1", "1e-3", "nan", "é\u202e\0",
    "../../x", "a" * 300, b"1", [], [1, 2], {}, {"a": 1}, (),
    np.float32(1), np.int64(3), np.uint8(1), np.array(2), np.array([1, 2]), 1j, range(3),
)  # fmt: skip
DTYPES = (
    "f2", "f4", "f8", ">f8", "i1", "i2", "i4", "i8", ">i8", "u1", "u2", "u4", "u8", "?", "c8", "c16", "U3", "S3", "O",
    "M8[s]", "m8[us]", "f16",
)  # fmt: skip
TEXTS = (
    "", " ", "\n", "nan", "inf", "-1", "1e400", "9" * 40,
    "\0", "\ufeff", "é漢\U0001f600", "\ud800", "None", "null", "~", "[",
    "]", "{", "}", ":",
    "- ", "&a ", "*a", "!!python/object/apply:os.getcwd []", "${oc.env:HOME}", "???", "%", "@data", "?",
    ",", "'", '"', "\\", "#", "---", "<<: ", "../../../x", "0x7f", "1_000", "true", ".inf", ".nan", "\t",
)  # fmt: skip


def number(rng: Random) -> Any:
    """An odd number."""
    return rng.choice(NUMBERS) if rng.random() < 0.8 else rng.uniform(-10, 10)


def thing(rng: Random) -> Any:
    """An odd number, or something that is none."""
    return number(rng) if rng.random() < 0.5 else copy.deepcopy(rng.choice(THINGS))  # it may be changed in its place


def array(rng: Random, values: np.ndarray) -> np.ndarray:
    """One of many changes of the entries, the dtype or the shape."""
    how = rng.randrange(8)
    with np.errstate(all="ignore"):
        if how <= 2 and values.size:
            return _entry(rng, values)
        if how == 3:
            return _cast(values, rng.choice(DTYPES))
        if how == 4:
            return _shape(rng, values)
        if how == 5:
            size = rng.choice((0, 1, 2, 3, 17, 100))
            return np.resize(values, size) if values.size else np.zeros(size, values.dtype)
        if how == 6 and values.size and values.dtype.kind in "fiu":
            return values * _cast(np.asarray(rng.choice((0, -1, 2, 1e-6, 1e6, 1e12))), values.dtype)
        return values[::-1] if values.ndim else values


def _entry(rng: Random, values: np.ndarray) -> np.ndarray:
    changed = np.array(values)
    for _ in range(rng.choice((1, 1, 1, 3))):
        value = number(rng)
        if changed.dtype.kind == "f":
            changed.flat[rng.randrange(changed.size)] = float(value)
        elif changed.dtype.kind in "iu" and isinstance(value, int):
            low, high = np.iinfo(changed.dtype).min, np.iinfo(changed.dtype).max
            changed.flat[rng.randrange(changed.size)] = min(max(value, int(low)), int(high))
        elif changed.dtype.kind in "iu":
            changed = changed.astype(np.float64)
            changed.flat[rng.randrange(changed.size)] = value
    return changed


def _cast(values: np.ndarray, dtype: Any) -> np.ndarray:
    try:
        return values.astype(dtype)
    except (ValueError, TypeError, OverflowError):
        return np.zeros(values.shape, dtype)


def _shape(rng: Random, values: np.ndarray) -> np.ndarray:
    how = rng.randrange(7)
    if how == 0:
        return values[..., None]
    if how == 1:
        return values[None]
    if how == 2:
        return values.reshape(-1)[:1].reshape(()) if values.size else np.zeros((), values.dtype)
    if how == 3:
        return np.asfortranarray(np.stack([values, values]))
    if how == 4:
        return np.repeat(values, 2, axis=0)[::2] if values.ndim else values
    if how == 5:
        return np.empty((0, *values.shape[1:]), values.dtype)
    return np.zeros((*values.shape, 0), values.dtype)


def raw(rng: Random, content: bytes) -> bytes:
    """One to four changes of bytes: flips, cuts, copies, numbers of extreme size."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        how, at = rng.randrange(9), rng.randrange(len(data) + 1)
        length = min(rng.choice((1, 1, 2, 4, 8, 16, 64)), len(data) - at)
        if how <= 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif how == 3:
            del data[at if rng.random() < 0.5 else max(at, len(data) - 40) :]
        elif how == 4:
            del data[at : at + length]
        elif how == 5:
            data[at:at] = data[at : at + length]
        elif how == 6:
            data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
        elif how == 7:
            data[at : at + 4] = rng.choice((2**31 - 1, 2**31, 2**32 - 1, 0, 1, 10**9)).to_bytes(
                4, rng.choice(("big", "little"))
            )
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
    return bytes(data)


def garbage(rng: Random, first: bytes = b"") -> bytes:
    """Random bytes, behind the first ones of the format."""
    return first * rng.randrange(2) + rng.randbytes(rng.choice((0, 1, 5, 30, 300, 3000)))


def text(rng: Random, content: str, words: Sequence[str] = TEXTS) -> str:
    """One to three changes of lines, numbers and words."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        lines = content.split("\n")
        at = rng.randrange(len(lines))
        how = rng.randrange(8)
        if how == 0:
            del lines[at]
        elif how == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif how == 2:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        elif how == 3:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(words) + lines[at][place:]
        elif how <= 5:
            found = list(re.finditer(r"-?[0-9.]+(?:e-?\d+)?", lines[at]))
            if found:
                match = rng.choice(found)
                new = repr(number(rng)) if rng.random() < 0.7 else rng.choice(words)
                lines[at] = lines[at][: match.start()] + new + lines[at][match.end() :]
        elif how == 6:
            found = list(re.finditer(r"\w+", lines[at]))
            if found:
                match = rng.choice(found)
                lines[at] = lines[at][: match.start()] + rng.choice(words) + lines[at][match.end() :]
        else:
            lines[at] = lines[at] * rng.choice((2, 30))
        content = "\n".join(lines)
    return content


def nested(rng: Random) -> Any:
    """A deep structure."""
    value: Any = 1
    for _ in range(rng.choice((1, 3, 30, 300))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def tree(rng: Random, root: Any, odd: Callable[[Random], Any] = thing) -> Any:
    """One or two changes somewhere in nested dicts and lists, which are changed in place: pass a copy."""
    for _ in range(rng.choice((1, 1, 2))):
        places = list(_places(root))
        if not places:
            return odd(rng)
        holder, key = rng.choice(places)
        how = rng.randrange(8)
        if how <= 4:
            holder[key] = odd(rng)
        elif how == 5:
            del holder[key]
        elif how == 6:
            holder[key] = nested(rng)
        elif isinstance(holder, dict):
            holder[rng.choice(("x", "", "../x", 3, None, True, "a.b"))] = (
                holder[key] if rng.random() < 0.5 else odd(rng)
            )
        else:
            holder.append(holder[key])
    return root


def _places(node: Any) -> Any:
    if isinstance(node, dict):
        entries = list(node.items())
    elif isinstance(node, list):
        entries = list(enumerate(node))
    else:
        return
    for key, value in entries:
        yield node, key
        yield from _places(value)
