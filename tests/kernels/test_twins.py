"""The compiled kernels against their plain-Python twins, which share no code with them."""

import itertools

import neuron_major
import numpy as np
import pytest

from saltation.kernels import (
    binned,
    binned_backward,
    bins,
    lanes,
    recurrent_sweep,
    recurrent_sweep_backward,
    reference,
    reference_backward,
    sweep,
    sweep_backward,
)
from saltation.kernels import layout as L

BUDGET = 500
NONE = np.empty(0)  # gradients of ghosts


def swept_back(events, *rest):
    """sweep_backward, without ghosts."""
    sweep_backward.sweep_backward(events, neuron_major.no_ghosts(events), *rest)


def binned_back(events, *rest):
    """binned_backward, without ghosts."""
    binned_backward.binned_backward(events, neuron_major.no_ghosts(events), *rest)


def problem(seed, delay, subtract, refractory, jump):
    rng = np.random.default_rng(seed)
    N, M, counts = 3, 4, [9, 0, 7]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    times = np.concatenate([np.sort(rng.uniform(0, 8, count)) for count in counts])
    units = rng.integers(0, M, times.size)
    shape = {"none": (1, 1), "axonal": (1, M), "dendritic": (N, 1), "synaptic": (N, M)}[delay]
    delays = np.zeros(shape) if delay == "none" else rng.uniform(0, 2, shape)
    columns = [
        rng.uniform(1, 3, N), rng.uniform(0.5, 3, N), rng.uniform(1, 4, N), rng.uniform(0.3, 0.6, N),
        jump * rng.uniform(0.5, 1, N), rng.uniform(-0.3, 0.2, N), np.full(N, refractory),
    ]  # fmt: skip
    synapses = L.Synapses(rng.normal(1.5, 2.0, (N, M)), delays)
    return L.Events(times, units, offsets), synapses, L.Neurons(np.stack(columns, 1), subtract, True, 10.0)


def simulate(kernel, events, synapses, neurons, extra=(), capacity=2000, want_peak=True, budget=BUDGET):
    """extra: what some kernels take after the synapses."""
    B, N = events.offsets.size - 1, synapses.weight.shape[0]
    buffer = L.SpikeBuffer(np.zeros((capacity, L.NUM_COLUMNS)), np.zeros((B, N), np.int64))
    peaks = L.Peaks(*(np.zeros((B, N) if want_peak else (0, 0)) for _ in range(3)))
    status = kernel(events, synapses, *extra, neurons, 0, B, buffer, 0, peaks, budget)
    return status, buffer, peaks


def gradients(kernel, events, synapses, neurons, buffer, peaks, grad_rows, grad_peak):
    shapes = (events.times, synapses.weight, synapses.delay, neurons.parameters)
    total = L.Gradients(*(np.zeros_like(array) for array in shapes), NONE)
    sent = L.Sent(grad_rows, peaks, grad_peak, 0.0, True, True)
    kernel(events, synapses, neurons, L.Span(0, events.offsets.size - 1, 0), buffer, sent, total)
    return total


CASES = list(
    itertools.product(["none", "axonal", "dendritic", "synaptic"], [False, True], [0.0, 0.37, np.inf], [0.0, 0.4, -0.1])
)
# theta falls below the V that is held: spikes at the release
CASES += itertools.product(["none", "axonal", "dendritic", "synaptic"], [False, True], [0.37], [-1.5])


@pytest.mark.parametrize("case", range(len(CASES)))
def test_layer(case):
    delay, subtract, refractory, jump = CASES[case]
    arguments = problem(case, delay, subtract, refractory, jump)
    status, buffer, peaks = simulate(neuron_major.lif_forward, *arguments)
    status_twin, buffer_twin, peaks_twin = simulate(reference.lif_forward, *arguments)
    assert status[:2] == status_twin[:2]
    if status[0] == L.BUDGET_EXCEEDED:
        assert jump < 0 and refractory == 0.0  # facilitation without a refractory period runs away: both say so
        return
    S = status[2]
    np.testing.assert_array_equal(buffer.counts, buffer_twin.counts)
    np.testing.assert_allclose(buffer.rows[:S], buffer_twin.rows[:S], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(peaks.value, peaks_twin.value, rtol=1e-12, atol=1e-12)
    # the twin finds a smooth maximum to about the root of the float64 precision
    np.testing.assert_allclose(peaks.time, peaks_twin.time, atol=1e-6)
    rng = np.random.default_rng(case)
    grad_rows, grad_peak = rng.normal(size=S), rng.normal(size=peaks.value.shape)
    for sent in (grad_peak, np.zeros((0, 0))):
        ours = gradients(neuron_major.lif_backward, *arguments, buffer, peaks, grad_rows, sent)
        twin = gradients(reference_backward.lif_backward, *arguments, buffer_twin, peaks_twin, grad_rows, sent)
        # limited by the twin's time of the peak; without the peak it agrees to rounding
        tolerance = 1e-6 if sent.size else 1e-9
        for name, left, right in zip(L.Gradients._fields[:-1], ours[:-1], twin[:-1], strict=True):
            scale = np.abs(right).max() + 1e-3
            np.testing.assert_allclose(left / scale, right / scale, atol=tolerance, err_msg=name)


def shared(seed, delay, subtract, refractory, jump, N=137, alike=True):
    """A problem for the event-major kernels: more neurons than one tile, the same time constants for all or not."""
    events, synapses, neurons = problem(seed, delay, subtract, refractory, jump)
    rng = np.random.default_rng(seed)
    parameters = np.repeat(neurons.parameters[:1], N, axis=0)
    if not alike:
        parameters[:, : L.TAU_ADAPT + 1] *= rng.uniform(0.5, 2.0, (N, 3))
        parameters[:3, L.TAU_SYN] = parameters[:3, L.TAU_MEM] * (1.0, 1.0 + 1e-9, 0.97)
    parameters[:, L.THRESHOLD] = rng.uniform(0.3, 0.6, N)
    parameters[:, L.JUMP] = jump * rng.uniform(0.5, 1, N)
    parameters[:, L.V_RESET] = rng.uniform(-0.3, 0.2, N)
    delays = rng.uniform(0, 2, (N, 1)) if delay == "dendritic" else synapses.delay
    synapses = L.Synapses(rng.normal(1.5, 2.0, (N, 4)), delays)
    return events, synapses, neurons._replace(parameters=parameters)


SHARED_CASES = [case for case in CASES if case[0] != "synaptic"]


@pytest.mark.parametrize("case", range(len(SHARED_CASES)))
@pytest.mark.parametrize("want_peak", [False, True])
@pytest.mark.parametrize(("alike", "with_taus"), [(True, False), (True, True), (False, True)])
def test_event_major_equals_neuron_major(case, want_peak, alike, with_taus):
    events, synapses, neurons = shared(case, *SHARED_CASES[case], alike=alike)
    B, N = 3, 137
    weights = sweep.by_input(synapses.weight, lanes.LANES)
    arguments, room = (events, synapses, neurons), {"capacity": 220_000, "want_peak": want_peak}
    status, buffer, peaks = simulate(neuron_major.lif_forward, *arguments, **room)
    status_swept, swept, peaks_swept = simulate(sweep.sweep_forward, *arguments, (weights,), **room)
    assert status[0] == status_swept[0]
    if status[0] == L.BUDGET_EXCEEDED:
        return  # the order of neurons differs, so the first to exceed the budget may
    S = status[2]
    assert S == status_swept[2] > 0
    np.testing.assert_array_equal(buffer.counts, swept.counts)
    lag = synapses.delay[:, 0] if synapses.delay.shape[0] > 1 else np.zeros(N)  # of the clocks of the swept neurons
    on_our_clock = swept.rows[:S].copy()
    on_our_clock[:, L.TIME] += np.repeat(np.tile(lag, B), swept.counts.ravel())
    np.testing.assert_allclose(buffer.rows[:S], on_our_clock, rtol=1e-12, atol=1e-12)
    if want_peak:
        later = np.where(peaks_swept.time > 0.0, peaks_swept.time + lag, 0.0)  # 0: nothing rose above the start
        for left, right in zip(peaks, peaks_swept._replace(time=later), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)
    rng = np.random.default_rng(case)
    grad_rows, grad_peak = rng.normal(size=S), rng.normal(size=peaks.value.shape)
    totals = []
    for kernel, extra, kept, kept_peaks, weight in [
        (neuron_major.lif_backward, (), buffer, peaks, synapses.weight),
        (swept_back, (weights,), swept, peaks_swept, weights),
    ]:
        total = L.Gradients(*map(np.zeros_like, (events.times, weight, synapses.delay, neurons.parameters)), NONE)
        sent = L.Sent(grad_rows, kept_peaks, grad_peak, 0.0, True, with_taus)
        kernel(events, synapses, *extra, neurons, L.Span(0, B, 0), kept, sent, total)
        totals.append(total)
    ours = totals[1]._replace(weight=sweep.by_neuron(totals[1].weight, N))
    for name, left, right in zip(L.Gradients._fields[:-1], ours[:-1], totals[0][:-1], strict=True):
        if name == "parameters" and not with_taus:
            left, right = left[:, L.TAU_ADAPT :], right[:, L.TAU_ADAPT :]
        scale = np.abs(right).max() + 1e-3
        np.testing.assert_allclose(left / scale, right / scale, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("length", [300.0, 1e3, 1e4, 1e6])
@pytest.mark.parametrize("jump", [0.0, 0.4])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_event_major_after_long_silence(length, jump, spread):
    """Spikes before an interval at whose end nothing is left of the potential."""
    events = L.Events(np.array([1.0, 1.1, length]), np.array([0, 1, 0]), np.array([0, 3]))
    synapses = L.Synapses(np.array([[3.0, 4.0], [2.5, 6.0], [0.2, 0.1]]), np.zeros((1, 1)))
    parameters = np.tile([2.0, 1.0, 3.0, 1.0, jump, 0.0, 0.0], (3, 1))
    parameters[:, : L.TAU_ADAPT + 1] += spread * np.arange(3)[:, None]
    neurons = L.Neurons(parameters, False, True, 2 * length)
    arguments = events, synapses, neurons
    status, buffer, _ = simulate(neuron_major.lif_forward, *arguments, want_peak=False)
    status_swept, swept, _ = simulate(
        sweep.sweep_forward, *arguments, (sweep.by_input(synapses.weight, lanes.LANES),), want_peak=False
    )
    assert status == status_swept and status[2] >= 2
    np.testing.assert_allclose(buffer.rows[: status[2]], swept.rows[: status[2]], rtol=1e-12)


@pytest.mark.parametrize("want_peak", [False, True])
@pytest.mark.parametrize("jump", [0.0, 0.4])
@pytest.mark.parametrize("refractory", [0.0, 0.5])
def test_event_major_with_simultaneous_events(want_peak, jump, refractory):
    """Intervals of length 0: at the very start, while V is held, and later."""
    times = np.sort(np.repeat([0.0, 0.3, 0.4, 0.5, 2.0, 5.0], 4))
    events = L.Events(times, np.arange(times.size) % 3, np.array([0, times.size]))
    synapses = L.Synapses(np.random.default_rng(0).normal(1.5, 1.0, (20, 3)), np.zeros((1, 1)))
    neurons = L.Neurons(np.tile([2.0, 1.0, 3.0, 1.0, jump, 0.0, refractory], (20, 1)), False, True, 8.0)
    arguments = events, synapses, neurons
    status, buffer, peaks = simulate(neuron_major.lif_forward, *arguments, want_peak=want_peak)
    status_swept, swept, peaks_swept = simulate(
        sweep.sweep_forward, *arguments, (sweep.by_input(synapses.weight, lanes.LANES),), want_peak=want_peak
    )
    assert status == status_swept and status[2] > 40
    np.testing.assert_allclose(buffer.rows[: status[2]], swept.rows[: status[2]], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(peaks.value, peaks_swept.value, rtol=1e-12, atol=1e-12)


CROWDED_CASES = [(False, 0.0, 0.0), (True, 0.0, 0.2), (False, 0.05, -0.05)]


@pytest.mark.nojit
@pytest.mark.parametrize("with_taus", [False, True])
@pytest.mark.parametrize(("subtract", "refractory", "jump"), CROWDED_CASES)
def test_event_major_with_many_arrivals(subtract, refractory, jump, with_taus):
    """Several arrivals and spikes in a chunk, and intervals so short that polynomials do for the exponentials."""
    events, _, neurons = crowded(0, subtract, refractory, jump, 2.0)
    neurons.parameters[:, : L.TAU_ADAPT + 1] *= 10.0
    rng = np.random.default_rng(1)
    synapses = L.Synapses(rng.normal(0.05, 0.1, (6, 20)), np.zeros((1, 1)))
    weights = sweep.by_input(synapses.weight, lanes.LANES)
    status, buffer, peaks = simulate(neuron_major.lif_forward, events, synapses, neurons, want_peak=False)
    status_swept, swept, _ = simulate(sweep.sweep_forward, events, synapses, neurons, (weights,), want_peak=False)
    assert status == status_swept and status[2] > 60
    np.testing.assert_array_equal(buffer.counts, swept.counts)
    np.testing.assert_allclose(buffer.rows[: status[2]], swept.rows[: status[2]], rtol=1e-12, atol=1e-12)
    grad_rows, none = rng.normal(size=status[2]), np.zeros((0, 0))
    sent, totals = L.Sent(grad_rows, peaks, none, 0.0, True, with_taus), []
    for kernel, extra, kept, weight in [
        (neuron_major.lif_backward, (), buffer, synapses.weight),
        (swept_back, (weights,), swept, weights),
    ]:
        total = L.Gradients(*map(np.zeros_like, (events.times, weight, synapses.delay, neurons.parameters)), NONE)
        kernel(events, synapses, *extra, neurons, L.Span(0, 3, 0), kept, sent, total)
        totals.append(total)
    ours = totals[1]._replace(weight=sweep.by_neuron(totals[1].weight, 6))
    for name, left, right in zip(L.Gradients._fields[:-1], ours[:-1], totals[0][:-1], strict=True):
        if name == "parameters" and not with_taus:
            left, right = left[:, L.TAU_ADAPT :], right[:, L.TAU_ADAPT :]
        scale = np.abs(right).max() + 1e-3
        np.testing.assert_allclose(left / scale, right / scale, atol=1e-9, err_msg=name)


def test_event_major_resumes_at_a_sample():
    events, synapses, neurons = shared(0, "axonal", False, 0.0, 0.4, N=37)
    weights = sweep.by_input(synapses.weight, lanes.LANES)
    none = L.Peaks(*(np.zeros((0, 0)) for _ in range(3)))
    large = L.SpikeBuffer(np.zeros((5000, L.NUM_COLUMNS)), np.zeros((3, 37), np.int64))
    whole = sweep.sweep_forward(events, synapses, weights, neurons, 0, 3, large, 0, none, BUDGET)
    first = large.counts[0].sum()
    small = L.SpikeBuffer(np.zeros((first + 5, L.NUM_COLUMNS)), np.zeros((3, 37), np.int64))
    status, cursor, filled = sweep.sweep_forward(events, synapses, weights, neurons, 0, 3, small, 0, none, BUDGET)
    assert (status, cursor, filled) == (L.BUFFER_FULL, 2 * 37, first)  # the middle sample is silent
    rest = L.SpikeBuffer(np.zeros((5000, L.NUM_COLUMNS)), small.counts)
    rest.rows[:filled] = small.rows[:filled]
    assert sweep.sweep_forward(events, synapses, weights, neurons, cursor, 3, rest, filled, none, BUDGET) == whole
    np.testing.assert_array_equal(rest.rows[: whole[2]], large.rows[: whole[2]])
    np.testing.assert_array_equal(rest.counts, large.counts)


RECURRENT_CASES = list(itertools.product([False, True], [0.0, 0.37, np.inf], [0.0, 0.4]))
RECURRENT_CASES.append((True, 0.37, -1.5))


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("want_peak", [False, True])
@pytest.mark.parametrize("case", range(len(RECURRENT_CASES)))
def test_spikes_that_never_arrive(case, want_peak, alike):
    """The feed-forward sweep, bit for bit; the gradients are summed in another order."""
    N = 37
    events, synapses, neurons = shared(case, "axonal", *RECURRENT_CASES[case], N=N, alike=alike)
    recurrent = L.Synapses(np.random.default_rng(case).normal(size=(N, N)), np.full((1, 1), 100.0))
    weights = sweep.by_input(synapses.weight, lanes.LANES)
    both = sweep.by_input(np.hstack([synapses.weight, recurrent.weight]), lanes.LANES)
    room = {"capacity": 20_000, "want_peak": want_peak}
    status, rows, peaks = simulate(sweep.sweep_forward, events, synapses, neurons, (weights,), **room)
    forward = recurrent_sweep.recurrent_sweep_forward
    found, rows_found, peaks_found = simulate(forward, events, synapses, neurons, (recurrent, both), **room)
    assert status == found and status[2] > 40
    np.testing.assert_array_equal(rows.counts, rows_found.counts)
    np.testing.assert_array_equal(rows.rows[: status[2]], rows_found.rows[: status[2]])
    for left, right in zip(peaks, peaks_found, strict=True):
        np.testing.assert_array_equal(left, right)
    rng = np.random.default_rng(case)
    span, grad_rows = L.Span(0, 3, 0), rng.normal(size=status[2])
    sent = L.Sent(grad_rows, peaks, rng.normal(size=peaks.value.shape), 0.0, True, True)
    first = [np.zeros_like(array) for array in (events.times, weights, synapses.delay, neurons.parameters)]
    second = [np.zeros_like(array) for array in (events.times, both, synapses.delay, neurons.parameters)]
    of_recurrent = L.Synapses(*map(np.zeros_like, recurrent))
    swept_back(events, synapses, weights, neurons, span, rows, sent, L.Gradients(*first, NONE))
    recurrent_sweep_backward.recurrent_sweep_backward(
        events,
        neuron_major.no_ghosts(events),
        synapses,
        recurrent,
        both,
        neurons,
        span,
        rows,
        sent,
        L.Gradients(*second, NONE),
        of_recurrent,
    )
    assert not second[1][:, 4:].any() and not of_recurrent.delay.any()
    first[1], second[1] = first[1][:, :4], second[1][:, :4]
    for left, right in zip(first, second, strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-12 * (1e-3 + np.abs(left).max()))


def crowded(seed, subtract, refractory, jump, ratio):
    """Many arrivals with delays of their own at neurons that share tau_mem and tau_syn; some weights are negative."""
    rng = np.random.default_rng(seed)
    N, M, counts = 6, 20, [300, 0, 200]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    times = np.concatenate([np.sort(rng.uniform(0, 30, count)) for count in counts])
    times[offsets[1] - 1] = 30.0  # at the very end of the sample
    events = L.Events(times, rng.integers(0, M - 1, times.size), offsets)  # the last input is silent
    delays = rng.uniform(0, 5, (N, M)) * rng.integers(0, 2, (N, M))
    delays[0, :3] = 1e-300, 40.0, 30.0  # as good as none; behind the end of the sample
    columns = [
        np.full(N, 2.0), np.full(N, 2.0 / ratio), np.full(N, 3.0), rng.uniform(0.3, 0.6, N),
        jump * rng.uniform(0.5, 1, N), rng.uniform(-0.3, 0.2, N), np.full(N, refractory),
    ]  # fmt: skip
    synapses = L.Synapses(rng.normal(0.15, 0.4, (N, M)), delays)
    return events, synapses, L.Neurons(np.stack(columns, 1), subtract, True, 30.0)


BINNED_CASES = list(itertools.product([False, True], [0.0, 0.05, 2.3, np.inf], [0.0, 0.4, -0.1], [0.3, 4.0]))
BINNED_CASES += itertools.product([False, True], [0.05, 0.4], [-1.0], [0.3, 4.0])


@pytest.mark.parametrize("case", range(len(BINNED_CASES)))
def test_binned_equals_sorted(case):
    events, synapses, neurons = crowded(case, *BINNED_CASES[case])
    grid = bins.make_grid(events, neurons.duration, *neurons.parameters[0, :2])
    delays = bins.split_delays(synapses.delay, grid)
    B = 3
    arguments, room = (events, synapses, neurons), {"capacity": 10_000, "want_peak": False}
    status, buffer, none = simulate(neuron_major.lif_forward, *arguments, **room)
    status_binned, ours, _ = simulate(binned.binned_forward, *arguments, (grid, delays), **room)
    assert status[:2] == status_binned[:2]
    if status[0] == L.BUDGET_EXCEEDED:
        return
    S = status[2]
    assert S >= 6
    np.testing.assert_array_equal(buffer.counts, ours.counts)
    np.testing.assert_allclose(buffer.rows[:S], ours.rows[:S], rtol=1e-12, atol=1e-12)
    grad_rows = np.random.default_rng(case).normal(size=S)
    arrays = events.times, synapses.weight, synapses.delay, neurons.parameters
    sorted_, binned_ = (L.Gradients(*map(np.zeros_like, arrays), NONE) for _ in range(2))
    span, sent = L.Span(0, B, 0), L.Sent(grad_rows, none, np.zeros((0, 0)), 0.0, True, False)
    neuron_major.lif_backward(events, synapses, neurons, span, buffer, sent, sorted_)
    binned_back(events, synapses, grid, delays, neurons, span, buffer, sent, binned_)
    trained = [L.TAU_ADAPT, L.THRESHOLD, L.JUMP, L.V_RESET, L.REFRACTORY]
    for name, left, right in zip(L.Gradients._fields[:-1], binned_[:-1], sorted_[:-1], strict=True):
        if name == "parameters":
            left, right = left[:, trained], right[:, trained]
        scale = np.abs(right).max() + 1e-3
        np.testing.assert_allclose(left / scale, right / scale, atol=1e-9, err_msg=name)


def test_binned_resumes_after_a_full_buffer():
    events, synapses, neurons = crowded(0, False, 0.0, 0.4, 4.0)
    grid = bins.make_grid(events, neurons.duration, *neurons.parameters[0, :2])
    head = events, synapses, grid, bins.split_delays(synapses.delay, grid), neurons
    none = L.Peaks(*(np.zeros((0, 0)) for _ in range(3)))
    large = L.SpikeBuffer(np.zeros((5000, L.NUM_COLUMNS)), np.zeros((3, 6), np.int64))
    whole = binned.binned_forward(*head, 0, 3, large, 0, none, BUDGET)
    rows, counts = np.zeros((5, L.NUM_COLUMNS)), np.zeros((3, 6), np.int64)
    cursor, filled, status = 0, 0, L.BUFFER_FULL
    while status == L.BUFFER_FULL:
        rows = np.concatenate([rows, np.zeros((5, L.NUM_COLUMNS))])
        status, cursor, filled = binned.binned_forward(
            *head, cursor, 3, L.SpikeBuffer(rows, counts), filled, none, BUDGET
        )
    assert (status, cursor, filled) == whole
    np.testing.assert_array_equal(rows[:filled], large.rows[:filled])
    np.testing.assert_array_equal(counts, large.counts)


def test_everything_on_the_edges_of_bins():
    """Arrivals, and ends of refractory periods, exactly where one bin ends and the next begins."""
    rng = np.random.default_rng(0)
    N, M, count, duration = 5, 20, 256, 32.0
    times = np.sort(rng.integers(0, 129, count)) / 4
    events = L.Events(times, rng.integers(0, M, count), np.array([0, count]))
    synapses = L.Synapses(rng.normal(0.3, 0.5, (N, M)), rng.integers(0, 9, (N, M)) / 4)
    parameters = np.tile([2.0, 1.0, 3.0, 0.5, 0.2, 0.0, np.inf], (N, 1))
    grid = bins.make_grid(events, duration, 2.0, 1.0)
    assert grid.h == 0.5
    extra = grid, bins.split_delays(synapses.delay, grid)
    neurons = L.Neurons(parameters, False, True, duration)
    _, firsts, _ = simulate(neuron_major.lif_forward, events, synapses, neurons, want_peak=False)
    assert (firsts.counts == 1).all()
    for j in range(N):  # the first period ends on the edge of a bin, to the last bit
        T = firsts.rows[j, L.TIME]
        edge = (np.floor(T / grid.h) + 2 + j) * grid.h
        parameters[j, L.REFRACTORY] = edge - T
        assert T + parameters[j, L.REFRACTORY] == edge
    status, buffer, none = simulate(neuron_major.lif_forward, events, synapses, neurons, want_peak=False)
    status_binned, ours, _ = simulate(binned.binned_forward, events, synapses, neurons, extra, want_peak=False)
    S = status[2]
    assert status == status_binned and S > 3 * N
    np.testing.assert_array_equal(buffer.counts, ours.counts)
    np.testing.assert_allclose(buffer.rows[:S], ours.rows[:S], rtol=1e-12, atol=1e-12)
    arrays = events.times, synapses.weight, synapses.delay, parameters
    sorted_, binned_ = (L.Gradients(*map(np.zeros_like, arrays), NONE) for _ in range(2))
    span, sent = L.Span(0, 1, 0), L.Sent(rng.normal(size=S), none, np.zeros((0, 0)), 0.0, True, False)
    neuron_major.lif_backward(events, synapses, neurons, span, buffer, sent, sorted_)
    binned_back(events, synapses, *extra, neurons, span, ours, sent, binned_)
    for left, right in zip(binned_[:3], sorted_[:3], strict=True):
        np.testing.assert_allclose(left, right, atol=1e-9 * np.abs(right).max())


def test_a_burst_fills_one_bin():
    """Thousands of arrivals in one bin: put in order without a quadratic sort, and right."""
    rng = np.random.default_rng(0)
    count, M, N = 20_000, 50, 4
    times = np.sort(np.concatenate([rng.uniform(0, 30, 500), rng.uniform(7.0, 7.001, count - 500)]))
    events = L.Events(times, rng.integers(0, M, count), np.array([0, count]))
    synapses = L.Synapses(rng.normal(0.0, 0.5, (N, M)), rng.uniform(0, 1e-3, (N, M)))
    parameters = np.tile([2.0, 0.5, 1.0, 0.5, 0.0, 0.0, 0.0], (N, 1))
    neurons = L.Neurons(parameters, False, True, 30.0)
    grid = bins.make_grid(events, 30.0, 2.0, 0.5)
    arguments, room = (events, synapses, neurons), {"capacity": 50_000, "want_peak": False, "budget": 20_000}
    status, buffer, _ = simulate(neuron_major.lif_forward, *arguments, **room)
    extra = grid, bins.split_delays(synapses.delay, grid)
    status_binned, ours, _ = simulate(binned.binned_forward, *arguments, extra, **room)
    assert status == status_binned and status[2] > 0
    np.testing.assert_allclose(buffer.rows[: status[2]], ours.rows[: status[2]], rtol=1e-9)  # sums of 20,000 weights


def test_where_bins_are_not_exact_or_not_worth_it():
    events, _, neurons = crowded(0, False, 0.0, 0.0, 4.0)
    assert bins.make_grid(events, 30.0, 2.0, 0.5) is not None
    assert bins.make_grid(events, 30.0, 2.0, 2.01) is None  # nearly equal time constants: digits would be lost
    assert bins.make_grid(events, 30.0, 2.0, 0.01) is None  # a factor e^{h/tau} would be too large
    few = L.Events(events.times[:100], events.units[:100], np.array([0, 40, 70, 100]))
    assert bins.make_grid(few, 30.0, 2.0, 0.5) is None


def test_a_full_buffer_loses_nothing():
    arguments = problem(0, "synaptic", False, 0.0, 0.4)
    whole, buffer, _ = simulate(neuron_major.lif_forward, *arguments)
    B, N = 3, 3
    small = L.SpikeBuffer(np.zeros((4, L.NUM_COLUMNS)), np.zeros((B, N), np.int64))
    none = L.Peaks(*(np.zeros((0, 0)) for _ in range(3)))
    status, cursor, filled = neuron_major.lif_forward(*arguments, 0, B, small, 0, none, BUDGET)
    assert status == L.BUFFER_FULL and filled <= 4
    rest = L.SpikeBuffer(np.zeros((2000, L.NUM_COLUMNS)), small.counts)
    rest.rows[:filled] = small.rows[:filled]
    status, cursor, filled = neuron_major.lif_forward(*arguments, cursor, B, rest, filled, none, BUDGET)
    assert (status, cursor, filled) == whole
    np.testing.assert_array_equal(rest.rows[:filled], buffer.rows[:filled])


@pytest.mark.nojit
@pytest.mark.parametrize("count", [0, 1, 2, 17, 500])
@pytest.mark.parametrize("kind", ["uniform", "ties", "crowded", "denormal"])
def test_sorting_of_arrivals(count, kind):
    from saltation.kernels.arrivals import sort_arrivals

    rng = np.random.default_rng(count)
    times = {
        "uniform": rng.uniform(0, 1, count),
        "ties": rng.integers(0, 5, count).astype(float),
        "denormal": rng.integers(0, 3, count) * 5e-324,
        "crowded": np.concatenate([rng.uniform(0, 1e-9, count - count // 50), rng.uniform(0, 1, count // 50)]),
    }[kind]
    arrival, source = times.copy(), np.arange(count)
    scratch = np.empty(count), np.empty(count, np.int64), np.empty(count + 1, np.int64)
    sort_arrivals(count, arrival, source, *scratch)
    order = np.argsort(times, kind="stable")
    np.testing.assert_array_equal(arrival, times[order])
    np.testing.assert_array_equal(source, order)
