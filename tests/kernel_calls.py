"""Which kernels a computation calls: every kernel that ops.py knows, by name, as it is called."""

import contextlib

from saltation import ops


def kernels_of_ops():
    """{name: function} of all that ops.py takes from saltation.kernels and calls, compiled or plain."""
    found = {}
    for name, value in vars(ops).items():
        function = getattr(value, "py_func", value)
        if getattr(function, "__module__", "").startswith("saltation.kernels.") and not isinstance(value, type):
            found[name] = value
    return found


@contextlib.contextmanager
def recorded():
    """A set that fills with the names of the kernels called in the meantime."""
    called, kernels = set(), kernels_of_ops()

    def watched(name, function):
        def call(*arguments):
            called.add(name)
            return function(*arguments)

        return call

    for name, function in kernels.items():
        setattr(ops, name, watched(name, function))
    try:
        yield called
    finally:
        for name, function in kernels.items():
            setattr(ops, name, function)
