"""Golden values (golden.py): nothing that a layer computes changes unseen.

A change beyond 1e-12 of the scale of an array fails. Any other change of a bit is named in a warning at the end: it is
expected on another CPU or with another version of Numba, and otherwise worth a thought.
"""

import functools
import os
import warnings

import golden
import pytest
import torch
from kernel_calls import CALLERS, kernels_of, recorded

from saltation import ops

COMPILED = not os.environ.get("NUMBA_DISABLE_JIT")
THREADS = (1, 4)


@functools.cache
def kept():
    """What the file holds."""
    return golden.read()


@functools.cache
def computed(name):
    """The values of a case with each number of threads, and the kernels that were called."""
    case, before, found = golden.CASES[name], torch.get_num_threads(), []
    with recorded() as called:
        for threads in THREADS if COMPILED else (1,):
            torch.set_num_threads(threads)
            found.append(golden.current(case, kept()[0][name]))
    torch.set_num_threads(before)
    return found, called


@pytest.fixture(scope="module")
def other_bits():
    """Names of cases that came out in other bits; told once, at the end."""
    found = {}
    yield found
    if found and COMPILED:
        worst = max(found.values())
        warnings.warn(
            f"golden values: {len(found)} of {len(golden.CASES)} cases differ in their last bits, by up to {worst:.1e} "
            f"of their scale: {', '.join(found)}",
            stacklevel=1,
        )


# The small ones without compilation too.
NAMES = [
    pytest.param(case.name, marks=[] if case.large else [pytest.mark.nojit], id=case.name)
    for case in golden.CASES.values()
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of divisions that compiled kernels do in silence
@pytest.mark.parametrize("name", NAMES)
def test_values(name, other_bits):
    found, _ = computed(name)
    assert all(golden.same_bits(found[0], other) for other in found[1:]), "the number of threads matters"
    values = kept()[1][name]
    off = golden.distance(found[0], values)
    assert off <= golden.TOLERANCE, {
        field: golden.distance({field: found[0][field]}, {field: values[field]}) for field in values
    }
    if not golden.same_bits(found[0], values):
        other_bits[name] = off


@pytest.mark.nojit
def test_kernels_are_compiled_or_not_as_asked():
    assert hasattr(kernels_of(ops)["merge_spikes"][1], "py_func") == COMPILED


def test_the_file_has_the_cases_and_no_others():
    seeds, values = kept()
    assert seeds.keys() == golden.CASES.keys() and values.keys() == golden.CASES.keys()
    assert golden.PATH.stat().st_size < 1e6


def test_a_change_of_one_part_in_1e11_fails():
    """The comparison sees what it should, in every array of every case; and a spike more or less."""
    for values in kept()[1].values():
        for field, value in values.items():
            if value.size and value.dtype.kind == "f" and abs(value).max() > 1e-3:
                moved = values | {field: value.copy()}
                moved[field][abs(value).argmax()] *= 1 + 1e-11
                assert golden.distance(moved, values) > golden.TOLERANCE
                assert golden.distance(values | {field: value[1:]}, values) > 1
            elif value.size and value.dtype.kind == "i":
                assert golden.distance(values | {field: value + 1}, values) > 1


def test_the_cases_call_every_kernel():
    called = set().union(*(computed(name)[1] for name in golden.CASES))
    others = {"announce_compilation", "make_grid", "by_input", "by_neuron", "share_taus", "split_delays"}
    kernels = set().union(*map(kernels_of, CALLERS))
    assert called - others == kernels - others
    assert len(called - others) > 10


def test_every_field_of_the_problems_matters():
    """No array of gradients is zero in all cases."""
    largest = {}
    for values in kept()[1].values():
        for field, value in values.items():
            if field.startswith("d "):
                largest[field] = max(largest.get(field, 0.0), float(abs(value).max(initial=0.0)))
    assert {"d connection.raw_delay", "d recurrent.raw_delay", "d neuron.tau_mem", "d input times"} <= largest.keys()
    assert min(largest.values()) > 1e-3
