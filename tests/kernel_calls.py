"""Which kernels a computation calls, and, uncompiled, which of their lines it runs."""

import ast
import contextlib
import importlib
import inspect
import sys
import types
from pathlib import Path

from saltation import closed_form, kernels, ops, patches
from saltation.kernels import plans

CALLERS = (ops, closed_form, patches, plans)
FOLDER = Path(kernels.__file__).parent
# Kernels that are not used for simulating, and what runs but once, when a module is loaded.
TWINS = tuple(path.name for path in FOLDER.glob("reference*.py")) + ("jit.py", "layout.py", "__init__.py")


def kernels_of(module):
    """{name: (place, function)} of all functions that a module takes from saltation.kernels, compiled or plain.

    place  the module in which the name is looked up: this one, or the kernel's own if it is imported where it is called
    """
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        home = importlib.import_module("." * node.level + (node.module or ""), module.__package__)
        for name in (alias.name for alias in node.names) if home.__name__.startswith("saltation.kernels.") else ():
            value = getattr(home, name)
            if hasattr(getattr(value, "py_func", value), "__code__"):
                found[name] = (module if hasattr(module, name) else home), value
    return found


@contextlib.contextmanager
def recorded():
    """A set that fills with the names of the kernels called in the meantime."""
    called, functions = (
        set(),
        [(place, name, f) for module in CALLERS for name, (place, f) in kernels_of(module).items()],
    )

    def watched(name, function):
        def call(*arguments):
            called.add(name)
            return function(*arguments)

        call.__wrapped__ = getattr(function, "__wrapped__", function)  # under which models register what is theirs
        return call

    for module, name, function in functions:
        setattr(module, name, watched(name, function))
    try:
        yield called
    finally:
        for module, name, function in functions:
            setattr(module, name, function)


def lines_of(code):
    """All lines of a function and of those inside it, but for the `def` itself."""
    lines = {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            lines |= lines_of(constant)
    return lines


def unreached_lines(run):
    """["file.py:line: text", ...] of the lines of kernels that run() does not reach; with NUMBA_DISABLE_JIT=1."""
    reached = {}

    def in_function(frame, event, _):
        if event == "line":
            reached[frame.f_code.co_filename].add(frame.f_lineno)
        return in_function

    def in_call(frame, event, _):
        name = frame.f_code.co_filename
        return in_function if name in reached and event == "call" else None

    wanted = {}
    for path in sorted(FOLDER.glob("*.py")):
        if path.name in TWINS:
            continue
        module = importlib.import_module(f"saltation.kernels.{path.stem}")
        lines = set()
        for function in vars(module).values():
            code = getattr(function, "__code__", None)
            if code is not None and code.co_filename == str(path):
                lines |= lines_of(code) - {code.co_firstlineno, code.co_firstlineno + 1}
        wanted[str(path)], reached[str(path)] = lines, set()
    sys.settrace(in_call)
    try:
        run()
    finally:
        sys.settrace(None)
    missed = []
    for path, lines in wanted.items():
        text = Path(path).read_text().splitlines()
        missed += [f"{Path(path).name}:{n}: {text[n - 1].strip()}" for n in sorted(lines - reached[path])]
    return missed
