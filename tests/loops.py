"""A loop in LLVM and the same in plain Python, called alike."""

from typing import Any

import numpy as np
from numba import njit


def compiled(loop: Any, count: int, *literals: Any) -> Any:
    """A function of `count` arguments that calls a loop with these literals behind them."""
    names = [f"x{k}" for k in range(count)]
    scope = {"loop": loop}
    exec(f"def call({', '.join(names)}): return loop({', '.join([*names, *map(repr, literals)])})", scope)
    return njit(scope["call"])


def both(loop: Any, twin: Any, arguments: Any, changed: Any, *literals: Any) -> tuple[Any, list[Any]]:
    """Call both; what they return, and the arguments that they changed, those of the numbers `changed` only, are alike
    to the last bit. Returns the result and the arguments as they are then.
    """
    copies = [[value.copy() if isinstance(value, np.ndarray) else value for value in arguments] for _ in range(2)]
    results = compiled(loop, len(arguments), *literals)(*copies[0]), twin(*copies[1], *literals)
    for number, (left, right) in enumerate(zip(*copies, strict=True)):
        np.testing.assert_array_equal(left, right)
        if isinstance(left, np.ndarray):
            assert np.array_equal(left, arguments[number], equal_nan=True) == (number not in changed), number
    assert results[0] == results[1]
    return results[0], copies[0]
