"""Recurrent layers in rings of bins against the same in windows: they share the walk of a single neuron, no more."""

import itertools

import numpy as np
import pytest
from neuron_major import no_ghosts, recurrent_backward, recurrent_forward

from saltation.kernels import layout as L
from saltation.kernels import rings, rings_backward, rings_forward
from saltation.kernels.arrivals import merge_spikes
from saltation.kernels.ring_lanes import RATE

M, BUDGET = 8, 60
NO_PEAK, NO_GRAD = L.Peaks(*(np.zeros((0, 0)) for _ in range(3))), np.zeros((0, 0))
COUNTS, DURATION = [70, 0, 50], 8.0


def synapses(rng, inputs, N, kind, weight, ties=False):
    """Some delays are 0, some as good as none, some lead behind the end of the sample."""
    shape = {None: (1, 1), "axonal": (1, inputs), "dendritic": (N, 1), "synaptic": (N, inputs)}[kind]
    delay = rng.uniform(0, 2, shape) * rng.integers(0, 2, shape) * (kind is not None)
    if ties:
        delay = np.round(delay * 8) / 8
    if kind == "synaptic":
        delay[0, :3] = 1e-300, 3 * DURATION, DURATION
    return L.Synapses(weight, delay)


def problem(seed, kind, back, subtract=False, refractory=0.0, jump=0.3, ratio=2.0, N=5, ties=False, strength=0.3):
    """(events, synapses, recurrent, neurons); ties: all events and delays are multiples of 1/8."""
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.uniform(0, DURATION, count)) for count in COUNTS]
    times[0][-1] = DURATION
    if ties:
        times = [np.round(t * 8) / 8 for t in times]
    events = L.Events(np.concatenate(times), rng.integers(0, M, sum(COUNTS)), np.cumsum([0, *COUNTS]))
    columns = [
        np.full(N, 2.0), np.full(N, 2.0 / ratio), np.full(N, 3.0), rng.uniform(0.3, 0.6, N),
        jump * rng.uniform(0.5, 1, N), rng.uniform(-0.3, 0.2, N), np.full(N, refractory),
    ]  # fmt: skip
    of_inputs = synapses(rng, M, N, kind, rng.normal(0.3, 0.4, (N, M)), ties)
    of_layer = synapses(rng, N, N, back, rng.normal(0, strength, (N, N)), ties)
    return events, of_inputs, of_layer, L.Neurons(np.stack(columns, 1), subtract, True, DURATION)


def simulate(kernel, arguments, extra=(), budget=BUDGET):
    events, of_inputs, of_layer, neurons = arguments
    B, N = events.offsets.size - 1, neurons.parameters.shape[0]
    buffer = L.SpikeBuffer(np.zeros((B * N * BUDGET, L.NUM_COLUMNS)), np.zeros((B, N), np.int64))
    status = kernel(events, of_inputs, of_layer, *extra, neurons, 0, B, buffer, 0, NO_PEAK, budget)
    return status, buffer


def gradients(kernel, arguments, extra, buffer, S):
    events, of_inputs, of_layer, neurons = arguments
    B, N = buffer.counts.shape
    order, grad_rows = np.empty(S, np.int64), np.random.default_rng(S).normal(size=S)
    merge_spikes(buffer.counts, buffer.rows[:S], np.zeros(N), np.empty(S), np.empty(S, np.int64), order)
    total = L.Gradients(*map(np.zeros_like, (events.times, *of_inputs, neurons.parameters)), np.empty(0))
    of_recurrent = L.Synapses(*map(np.zeros_like, of_layer))
    sent = L.Sent(grad_rows, NO_PEAK, NO_GRAD, 0.0, True, False)
    kernel(
        events, of_inputs, of_layer, *extra, neurons, L.Span(0, B, 0), buffer, order, sent, total, of_recurrent
    )  # fmt: skip
    parameters = total.parameters[:, L.TAU_ADAPT :]
    return {
        **total._replace(parameters=parameters)._asdict(),
        **{f"own {k}": v for k, v in of_recurrent._asdict().items()},
    }


def with_none(events, *rest):
    """rings_backward, without ghosts."""
    rings_backward.rings_backward(events, no_ghosts(events), *rest)


def check(arguments, least=4, tolerance=1e-12):
    """The same spikes and the same gradients, either way; returns the status."""
    extra = (rings.make_rings(*arguments),)
    assert extra[0] is not None
    status, buffer = simulate(recurrent_forward, arguments)
    status_rings, ours = simulate(rings_forward.rings_forward, arguments, extra)
    if L.BUDGET_EXCEEDED in (status[0], status_rings[0]):
        assert (
            status[0] == status_rings[0]
            and status[1] // buffer.counts.shape[1] == status_rings[1] // buffer.counts.shape[1]
        )
        return status
    assert status == status_rings and status[2] >= least
    S = status[2]
    np.testing.assert_array_equal(buffer.counts, ours.counts)
    np.testing.assert_allclose(buffer.rows[:S], ours.rows[:S], rtol=tolerance, atol=tolerance)
    left = gradients(recurrent_backward, arguments, (), buffer, S)
    right = gradients(with_none, arguments, extra, buffer, S)
    for name in left.keys() - {"strengths"}:
        scale = np.abs(left[name]).max() + 1e-3
        np.testing.assert_allclose(right[name] / scale, left[name] / scale, atol=1e-9, err_msg=name)
    return status


KINDS = [("synaptic", "synaptic"), (None, "dendritic"), ("synaptic", None), ("dendritic", "axonal")]
CASES = list(itertools.product(KINDS, [False, True], [0.0, 0.05, 1.3, np.inf], [0.0, 0.4, -0.1]))
CASES += itertools.product(KINDS, [False, True], [0.4], [-1.0])  # spikes at the moment of the release


@pytest.mark.parametrize("case", range(len(CASES)))
def test_rings_equal_windows(case):
    (kind, back), subtract, refractory, jump = CASES[case]
    ratio, N = ((0.3, 5), (1.0, 3), (4.0, 20))[case % 3]
    status = check(problem(case, kind, back, subtract, refractory, jump, ratio, N))
    assert status[0] == L.DONE or jump < 0.0 or refractory < 0.1


@pytest.mark.parametrize("back", [None, "synaptic"])
@pytest.mark.parametrize("refractory", [0.0, 0.25])
def test_ties(back, refractory):
    """Arrivals of inputs and of the layer at the same time, many on the edges of bins."""
    arguments = problem(3, "synaptic", back, refractory=refractory, ties=True)
    check(arguments)


def test_no_arrival_is_before_its_emission():
    """Where rounding puts a time into the bin before, which is over, it is put into the present one."""
    events, of_inputs, of_layer, neurons = problem(0, None, "dendritic")
    of_layer.delay[:] = 0.0
    made = rings.make_rings(events, of_inputs, of_layer, neurons._replace(duration=7.3))
    scratch, ring = rings.new_scratch(), np.empty((made.grid.depth + 1) * rings.TILE)
    early = [c for c in range(1, made.grid.number) if np.floor(c * made.grid.h * made.grid.coefficients[RATE]) < c]
    assert early
    for c in early:
        rings.find(c * made.grid.h, 0, c, made, 0, ring, 1, scratch, 0)
        assert (scratch.places[: rings.TILE] // rings.TILE == c % made.grid.depth).all()


def test_a_maximum_within_a_bin_is_seen():
    """V rises above the threshold and falls again, and no arrival tells of it."""
    tau_mem, tau_syn, N = 2.1, 2.1, 5
    parameters = np.tile([tau_mem, tau_syn, 3.0, 1.0, 0.0, 0.0, np.inf], (N, 1))
    peak = 1.0 / np.e  # of phi, at t = 2.1: not on the edge of a bin
    w = np.array([1.0 + 1e-3, 1.0 + 1e-4, 1.0 + 1e-5, 1.0 + 1e-6, 1.0 - 1e-9]) / peak
    weight = np.zeros((N, M))
    weight[:, 0] = w
    times, units = np.concatenate([[0.0], np.linspace(0.1, 7.9, 60)]), np.ones(61, np.int64)
    units[0] = 0
    events = L.Events(times, units, np.array([0, 61]))
    layer = L.Synapses(np.zeros((N, N)), np.zeros((N, N)))
    arguments = events, L.Synapses(weight, np.zeros((N, M))), layer, L.Neurons(parameters, False, True, DURATION)
    assert check(arguments, tolerance=1e-11)[2] == 4  # near a maximum times are not known to the last bits


def test_runaway_activity_ends_with_the_budget():
    arguments = problem(0, "synaptic", None, jump=0.0, strength=5.0)
    strong = arguments[2]._replace(weight=np.abs(arguments[2].weight) * 5.0)
    status = check((*arguments[:2], strong, arguments[3]))
    assert status[0] == L.BUDGET_EXCEEDED


def test_the_budget_is_the_most_that_a_neuron_may_spike():
    arguments = problem(1, "synaptic", "synaptic")
    extra = (rings.make_rings(*arguments),)
    status, buffer = simulate(rings_forward.rings_forward, arguments, extra)
    b, n = np.unravel_index(buffer.counts.argmax(), buffer.counts.shape)
    assert simulate(rings_forward.rings_forward, arguments, extra, buffer.counts[b, n])[0] == status
    short = simulate(rings_forward.rings_forward, arguments, extra, buffer.counts[b, n] - 1)[0]
    assert short[0] == L.BUDGET_EXCEEDED and buffer.counts[divmod(short[1], 5)] == buffer.counts[b, n]


def test_little_room_at_first_changes_nothing(monkeypatch):
    """Emissions, and spikes, for which there is no room: the sample is done again with more of it."""
    arguments = problem(1, "synaptic", "synaptic", N=20)
    extra = (rings.make_rings(*arguments),)
    status, buffer = simulate(rings_forward.rings_forward, arguments, extra)
    N, longest = 20, max(COUNTS)
    state, tiles = rings_forward.new_state(N, 2, extra[0].grid.depth, arguments[3]), 2
    full = 0
    for room in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        emissions, walkers = rings_forward.new_emissions(room, tiles), rings_forward.new_walkers(N, room)
        log = rings_forward.new_log(room, N)
        found, _ = rings_forward.rings_sample(
            0, longest, arguments[0], M, extra[0], arguments[3], state, emissions, walkers, log, BUDGET
        )
        full += found == L.BUFFER_FULL
        if found == L.DONE:
            break
    assert full >= 4 and found == L.DONE
    np.testing.assert_array_equal(state.spikes, buffer.counts[0])
    times = np.sort(buffer.rows[: buffer.counts[0].sum(), L.TIME])
    np.testing.assert_array_equal(np.sort(log.rows[: times.size, L.TIME]), times)


def test_rings_resume_at_a_sample():
    arguments = problem(1, "synaptic", "synaptic")
    events, of_inputs, of_layer, neurons = arguments
    head = events, of_inputs, of_layer, rings.make_rings(*arguments), neurons
    whole, large = simulate(rings_forward.rings_forward, arguments, head[3:4])
    first = large.counts[0].sum()
    small = L.SpikeBuffer(np.zeros((first + 2, L.NUM_COLUMNS)), np.zeros((3, 5), np.int64))
    status, cursor, filled = rings_forward.rings_forward(*head, 0, 3, small, 0, NO_PEAK, BUDGET)
    assert (status, cursor, filled) == (L.BUFFER_FULL, 2 * 5, first)  # the middle sample is silent
    rest = L.SpikeBuffer(np.zeros((5000, L.NUM_COLUMNS)), small.counts)
    rest.rows[:filled] = small.rows[:filled]
    assert rings_forward.rings_forward(*head, cursor, 3, rest, filled, NO_PEAK, BUDGET) == whole
    np.testing.assert_array_equal(rest.rows[: whole[2]], large.rows[: whole[2]])


def test_a_burst_within_a_bin_and_longest_delays():
    """Far more arrivals in one bin than in all others, and spikes that must be remembered for the whole sample."""
    events, of_inputs, of_layer, neurons = problem(2, "synaptic", "synaptic", refractory=0.02)
    rng = np.random.default_rng(0)
    times = np.sort(np.concatenate([rng.uniform(0, DURATION, 100), rng.uniform(3.0, 3.001, 400)]))
    events = L.Events(times, rng.integers(0, M, 500), np.array([0, 500]))
    of_layer.delay[1, :] = rng.uniform(0.5, 0.9, 5) * DURATION
    light = of_inputs._replace(weight=of_inputs.weight * 0.1)
    assert check((events, light, of_layer, neurons), tolerance=1e-11)[0] == L.DONE  # sums of 400 weights


def test_where_windows_are_needed_or_faster():
    events, of_inputs, of_layer, neurons = problem(0, "synaptic", "synaptic")
    assert rings.make_rings(events, of_inputs, of_layer, neurons) is not None
    few = L.Events(events.times[:9], events.units[:9], np.array([0, 5, 7, 9]))
    assert rings.make_rings(few, of_inputs, of_layer, neurons) is None
    stiff = neurons.parameters.copy()
    stiff[:, L.TAU_SYN] = 1e-3
    assert rings.make_rings(events, of_inputs, of_layer, neurons._replace(parameters=stiff)) is None
    own = neurons.parameters.copy()
    own[0, L.TAU_MEM] += 1e-3
    assert rings.make_rings(events, of_inputs, of_layer, neurons._replace(parameters=own)) is None
