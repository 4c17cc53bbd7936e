"""Spikes: conversions, views and their gradients."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import _pytree

import saltation as sal
from saltation import Spikes

N, DURATION = 3, 2.0
FIELDS = ("times", "units", "offsets", "num_units", "duration")
EVENTS = st.lists(st.tuples(st.floats(0.0, DURATION), st.integers(0, N - 1)), max_size=12)
BATCHES = st.lists(EVENTS, max_size=4)


def make(samples):
    return Spikes.from_lists(samples, num_units=N, duration=DURATION)


def example():
    """Sample 1 is silent, sample 0 has a tie and unit 1 fires three times, sample 2 starts earlier than 0 ends."""
    spikes = make([[(0.5, 1), (0.5, 2), (0.9, 1), (1.7, 1)], [], [(0.1, 0), (2.0, 2)]])
    return spikes.with_times(spikes.times.clone().requires_grad_())


def silent(samples):
    return make([[] for _ in range(samples)])


def test_fields_of_a_batch():
    spikes = make([[(0.3, 2), (0.1, 0)], [], [(0.2, 1)]])
    assert spikes.times.tolist() == [0.1, 0.3, 0.2]
    assert spikes.units.tolist() == [0, 2, 1]
    assert spikes.offsets.tolist() == [0, 2, 2, 3]
    assert (spikes.num_samples, len(spikes), spikes.num_units, spikes.duration) == (3, 3, 3, 2.0)
    assert spikes.sample_index().tolist() == [0, 0, 2]
    assert spikes.train_index().tolist() == [0, 2, 7]


def test_a_dataclass_that_is_checked_when_made_and_equal_to_itself_alone():
    spikes = example()
    assert [field.name for field in dataclasses.fields(Spikes)] == [*FIELDS, "ghosts"]
    longer = dataclasses.replace(spikes, duration=3)
    assert longer.duration == 3.0 and longer.times is spikes.times
    with pytest.raises(ValueError, match="must be finite and within"):
        dataclasses.replace(spikes, duration=0.5)
    twin = dataclasses.replace(spikes)
    assert spikes == spikes and spikes != twin and len({spikes, twin}) == 2
    with pytest.raises(AttributeError):
        spikes.time = spikes.times  # a field that there is not


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies(copied):
    spikes = make([[(0.3, 2), (0.1, 0)], []])
    twin = copied(spikes)
    assert twin is not spikes and repr(twin) == repr(spikes) and twin.to_lists() == spikes.to_lists()
    assert torch.equal(twin.offsets, spikes.offsets)


def test_a_node_of_the_trees_of_torch():
    spikes = example()
    leaves, shape = _pytree.tree_flatten({"out": [spikes, None]})
    assert [leaf for leaf in leaves if leaf is not None] == [spikes.times, spikes.units, spikes.offsets]
    again = _pytree.tree_unflatten([leaf if leaf is None else leaf.clone() for leaf in leaves], shape)["out"][0]
    assert type(again) is Spikes and again is not spikes and repr(again) == repr(spikes)
    (grad,) = torch.autograd.grad(again.times.sum(), spikes.times)
    assert grad.tolist() == [1.0] * 6
    # nothing is checked: torch may put anything in the place of tensors
    assert _pytree.tree_map(lambda leaf: leaf.shape, spikes).times == (6,)


@given(BATCHES)
def test_lists_round_trip(samples):
    assert make(samples).to_lists() == [sorted(sample) for sample in samples]


@given(BATCHES)
def test_counts_first_and_last_by_hand(samples):
    spikes = make(samples)
    counts, first, last = spikes.counts(), spikes.first(), spikes.last()
    assert counts.shape == first.shape == last.shape == (len(samples), N)
    assert counts.dtype == torch.int64
    for b, sample in enumerate(samples):
        for j in range(N):
            own = [t for t, unit in sample if unit == j]
            assert counts[b, j] == len(own)
            assert first[b, j] == min(own, default=math.inf)
            assert last[b, j] == max(own, default=-math.inf)
            assert spikes.first(silent=7.0)[b, j] == min(own, default=7.0)
            assert spikes.last(silent=7.0)[b, j] == max(own, default=7.0)


def test_first_and_last_carry_the_gradient_of_their_own_spike_only():
    spikes = example()
    first, last = spikes.first(), spikes.last()
    times = spikes.times
    (grad,) = torch.autograd.grad(3.0 * first[0, 1] + 5.0 * last[0, 1] + 7.0 * first[0, 2], times, retain_graph=True)
    assert grad.tolist() == [3.0, 7.0, 0.0, 5.0, 0.0, 0.0]
    # silent units are infinite and harmless
    finite = torch.where(first.isfinite(), first, torch.zeros_like(first))
    (grad,) = torch.autograd.grad(finite.sum(), times)
    assert grad.tolist() == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]


def test_a_tie_within_one_unit_gives_one_spike_the_gradient():
    spikes = make([[(0.5, 0), (0.5, 0)]])
    times = spikes.times.requires_grad_()
    spikes.first()[0, 0].backward()
    assert times.grad.sum() == 1.0


@pytest.mark.parametrize("samples", [0, 2])
def test_no_events(samples):
    spikes = silent(samples)
    assert spikes.counts().shape == (samples, N)
    assert not spikes.counts().any()
    assert spikes.first().eq(math.inf).all() and spikes.last().eq(-math.inf).all()
    assert spikes.to_lists() == [[]] * samples
    assert spikes.to_dense(0.5, time_first=False).shape == (samples, 4, N)
    assert spikes.with_times(spikes.times).times.numel() == 0
    assert Spikes.cat([spikes, spikes]).num_samples == 2 * samples
    assert f"{samples} samples" in repr(spikes) and "0 events" in repr(spikes)


@given(BATCHES, BATCHES)
def test_cat_is_list_concatenation(left, right):
    assert Spikes.cat([make(left), make(right)]).to_lists() == make(left + right).to_lists()


@given(BATCHES)
def test_samples_put_together_are_the_batch(samples):
    spikes = make(samples)
    singles = [spikes.sample(b) for b in range(len(samples))]
    assert all(single.num_samples == 1 for single in singles)
    assert [single.to_lists()[0] for single in singles] == spikes.to_lists()
    if singles:
        again = Spikes.cat(singles)
        assert torch.equal(again.offsets, spikes.offsets) and torch.equal(again.units, spikes.units)
        assert spikes.sample(-1).to_lists() == singles[-1].to_lists()


def test_gradient_through_cat_and_sample():
    spikes = example()
    joined = Spikes.cat([spikes, spikes.sample(2), spikes.sample(1)])
    assert joined.offsets.tolist() == [0, 4, 4, 6, 8, 8]
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0, 80.0], dtype=torch.float64)
    (grad,) = torch.autograd.grad((joined.times * weight).sum(), spikes.times)
    assert grad.tolist() == [1.0, 2.0, 3.0, 4.0, 75.0, 86.0]


def test_with_times_sorts_within_samples_and_keeps_gradients():
    spikes = example()
    new = torch.tensor([1.9, 0.2, 0.2, 0.1, 1.5, 0.5], dtype=torch.float64, requires_grad=True)
    moved = spikes.with_times(new)
    assert moved.to_lists() == [[(0.1, 1), (0.2, 2), (0.2, 1), (1.9, 1)], [], [(0.5, 2), (1.5, 0)]]
    (grad,) = torch.autograd.grad((moved.times * torch.arange(6)).sum(), new)
    assert grad.tolist() == [3.0, 1.0, 2.0, 0.0, 5.0, 4.0]


def test_detach_cuts_the_gradient_only():
    spikes = example()
    assert spikes.times.requires_grad and not spikes.detach().times.requires_grad
    assert spikes.detach().to_lists() == spikes.to_lists()


def test_repr():
    assert repr(make([[(0.1, 0)], []])) == "Spikes(2 samples, 3 units, 1 events, duration 2)"
    assert "with gradient" in repr(example())


@pytest.mark.parametrize("time_first", [True, False])
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([1.0, 0.1, 1e-3, 0.3, 1 / 3, 7e-5]))
def test_dense_round_trip(time_first, samples, steps, seed, dt):
    generator = torch.Generator().manual_seed(seed)
    shape = (steps, samples, N) if time_first else (samples, steps, N)
    raster = torch.randint(0, 3, shape, generator=generator)
    spikes = Spikes.from_dense(raster, dt, time_first=time_first)
    assert spikes.duration == steps * dt
    assert spikes.times.numel() == raster.sum()
    Spikes(spikes.times, spikes.units, spikes.offsets, N, spikes.duration)  # legal
    dense = spikes.to_dense(dt, time_first=time_first)
    assert dense.shape == shape and torch.equal(dense.long(), raster)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float16, torch.float32])
def test_dense_of_any_dtype(dtype):
    raster = torch.tensor([[[1, 0], [0, 1], [1, 1]]]).to(dtype)
    spikes = Spikes.from_dense(raster, 0.5, time_first=False)
    assert spikes.to_lists() == [[(0.0, 0), (0.5, 1), (1.0, 0), (1.0, 1)]]


def test_layouts_are_transposed():
    spikes = make([[(0.3, 0), (1.2, 2)], [(0.3, 1)]])
    batch_first = spikes.to_dense(0.5, time_first=False)
    assert batch_first.shape == (2, 4, 3)
    assert batch_first.nonzero().tolist() == [[0, 0, 0], [0, 2, 2], [1, 0, 1]]
    assert torch.equal(spikes.to_dense(0.5, time_first=True), batch_first.transpose(0, 1))


@pytest.mark.parametrize(
    ("dt", "steps"), [(0.3, 7), (0.7, 3), (2.0, 1), (5.0, 1), (0.1, 20), (2.0 / 3.0, 3), (1e-3, 2000), (1.999, 2)]
)
def test_dense_for_steps_that_do_not_divide_the_duration(dt, steps):
    spikes = make([[(0.0, 0), (0.65, 1), (2.0, 2)]])
    dense = spikes.to_dense(dt, time_first=False)
    assert dense.shape == (1, steps, N)
    assert dense.sum() == 3
    assert dense[0, 0, 0] == 1  # at the start
    assert dense[0, int(0.65 / dt + 1e-9), 1] == 1
    assert dense[0, -1, 2] == 1  # at the very end: in the last step


def test_dense_counts_simultaneous_spikes():
    assert make([[(0.2, 1)] * 3]).to_dense(1.0, time_first=False)[0, 0, 1] == 3


def test_numpy_integers_are_integers():
    import numpy as np

    spikes = Spikes.from_lists([[(np.float32(0.5), np.int64(2))]], num_units=np.int64(3), duration=1)
    assert spikes.to_lists() == [[(0.5, 2)]]
    assert sal.Linear(np.int64(3), np.int32(2)).weight.shape == (2, 3)


@pytest.mark.parametrize("dt", [1.0, 1e-3, 0.1, 1 / 3, 0.7, 1e-7, 3e5])
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.9])
def test_steps_are_found_again_however_many_there_are(dt, offset):
    from saltation.spikes import step_of

    generator = torch.Generator().manual_seed(0)
    for largest in (100, 2 * 10**7, 10**9, 2**40):
        steps = torch.randint(0, largest, (2000,), generator=generator)
        assert torch.equal(step_of((steps.double() + offset) * dt, dt), steps)


def test_dense_is_the_inverse_after_many_steps():
    T = 30_000_001
    raster = torch.zeros(1, T, 1, dtype=torch.uint8)
    raster[0, torch.tensor([0, 1, 20_000_001, 25_999_999, T - 1]), 0] = 1
    for offset in (0.0, 0.5):
        spikes = Spikes.from_dense(raster, 0.1, time_first=False, offset=offset)
        dense = spikes.to_dense(0.1, time_first=False)
        assert dense.shape == raster.shape and torch.equal(dense.to(torch.uint8), raster)


def test_from_dense_places_spikes_within_the_step():
    raster = torch.tensor([[[0.0], [2.0], [1.0]]])
    assert Spikes.from_dense(raster, 0.5, time_first=False).times.tolist() == [0.5, 0.5, 1.0]
    assert Spikes.from_dense(raster, 0.5, time_first=False, offset=0.5).times.tolist() == [0.75, 0.75, 1.25]
    for offset in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="offset = "):
            Spikes.from_dense(raster, 0.5, time_first=False, offset=offset)


def test_events_of_numpy():
    expected = [[(0.1, 2), (0.5, 0)]]
    for events in (
        np.array([[0.5, 0], [0.1, 2]]), [np.array([0.5, 0.0]), (np.float64(0.1), np.int64(2))], [[0.5, 0], [0.1, 2.0]],
    ):  # fmt: skip
        assert Spikes.from_lists([events], 3, 1.0).to_lists() == expected


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f | {"times": f["times"].to_sparse()}, TypeError, "times is a tensor of layout .*to_dense"),
        (lambda f: f | {"units": f["units"].to_sparse()}, TypeError, "units is a tensor of layout"),
        (lambda f: f | {"times": f["times"].to(torch.complex64)}, TypeError, "times has dtype torch.complex64"),
        (lambda f: f | {"times": f["times"].to("meta")}, ValueError, "times is on meta"),
        (lambda f: f | {"offsets": f["offsets"].to("meta")}, ValueError, "offsets is on meta"),
        (
            lambda f: f | {"num_units": 10**30},
            ValueError,
            "num_units = 10+: must be a whole number >= 1, at most 2",
        ),
        (lambda f: f | {"num_units": 2**31}, ValueError, "num_units = 2147483648: must be"),
        (lambda f: f | {"duration": 10**400}, ValueError, "duration = 10+ ... 0+: must be a number"),
    ],
)
def test_fields_of_another_kind(change, error, message):
    fields = {
        "times": torch.tensor([0.1], dtype=torch.float64), "units": torch.tensor([0]),
        "offsets": torch.tensor([0, 1]), "num_units": 1, "duration": 1.0,
    }  # fmt: skip
    with pytest.raises(error, match=message):
        Spikes(**change(fields))


def test_a_raster_that_fits_no_memory_is_refused():
    with pytest.raises(ValueError, match="dt = 1e-12: a raster of 1000000000000 steps has 1e[+]12 cells"):
        Spikes.from_lists([[(0.5, 0)]], 1, 1.0).to_dense(1e-12, time_first=True)


def test_numbers_that_no_tensor_can_hold():
    with pytest.raises(ValueError, match="more than 2\\^28 in all: it must hold spike counts"):
        Spikes.from_dense(torch.full((1, 1, 1), 2.0**62, dtype=torch.float64), 1.0, time_first=True)
    fields = {"units": torch.tensor([0]), "offsets": torch.tensor([0, 1]), "num_units": 1, "duration": 10**30}
    assert Spikes(torch.tensor([1e29], dtype=torch.float64), **fields).duration == 1e30
    silent = Spikes(torch.empty(0, dtype=torch.float64), torch.empty(0).long(), torch.tensor([0]), 3, 1e300)
    with pytest.raises(ValueError, match="dt = 1e-09: a raster of 1e[+]309|dt = 1e-09: a raster of inf steps"):
        silent.to_dense(1e-9, time_first=True)


def test_an_endless_event_is_quoted_in_part():
    with pytest.raises(ValueError, match="sample 0 holds .*every event must be a pair") as caught:
        Spikes.from_lists([[list(range(10_000))]], 3, 1.0)
    assert len(str(caught.value)) < 400
