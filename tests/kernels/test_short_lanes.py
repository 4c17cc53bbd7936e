"""Power series over short intervals: against 40-digit arithmetic, and the loops in LLVM against plain Python."""

import numpy as np
import pytest
from loops import compiled
from mpmath import mp

from saltation.kernels import lanes, short_lanes
from saltation.kernels.crossing import ROUNDING
from saltation.kernels.lanes import ALL, LANES, TAUS, TIMES, WEIGHTS

NUMBER = 8
CASES = list(zip(short_lanes.DEGREES, short_lanes.REACHES, strict=True))


def tile(seed, adaptive=True):
    """The series of a tile of neurons, the last lanes of it padding, and their rates."""
    rng = np.random.default_rng(seed)
    rates = np.exp(rng.normal(size=(LANES - 3, 3)))
    rates[0, 1] = rates[0, 0]  # and nearly equal ones
    rates[1, 1] = rates[1, 0] * (1.0 + 1e-9)
    rates[2, 1] = rates[2, 0] * 1e-5
    series = np.empty(short_lanes.SERIES_SIZE)
    short_lanes.set_series(0, len(rates), rates, adaptive, series)
    return rng, rates, series


def exact(s, m, n):
    """e^{-ms}, e^{-ns}, phi and its derivatives with respect to 1/m and 1/n."""
    s, m, n = mp.mpf(s), mp.mpf(m), mp.mpf(n)

    def phi(m, n):
        d = (m - n) * s
        return m * s * mp.exp(-m * s) * (mp.expm1(d) / d if d else 1)

    h = mp.mpf(10) ** -25
    by_mem = (phi(1 / (1 / m + h), n) - phi(1 / (1 / m - h), n)) / (2 * h)
    by_syn = (phi(m, 1 / (1 / n + h)) - phi(m, 1 / (1 / n - h))) / (2 * h)
    return [float(value) for value in (mp.exp(-m * s), mp.exp(-n * s), phi(m, n), by_mem, by_syn)]


@pytest.mark.parametrize(("degree", "reach"), CASES)
def test_series_are_right_to_a_few_roundings(degree, reach):
    mp.dps = 80
    _, rates, series = tile(0)
    lengths = np.array([1.0, 0.7, 0.31, 1e-3, 0.0, 0.9]) * reach / series[short_lanes.TOP]
    table = np.zeros(lanes.NUM_ADJOINT * LANES * (lanes.CHUNK + 1))
    short_lanes._fill_returns(table, lengths, len(lengths), series, degree, ALL)
    decay = np.zeros(LANES)
    for k, s in enumerate(lengths[:-1]):
        columns = table.reshape(-1, lanes.NUM_ADJOINT, LANES)[k]
        short_lanes._fill_decay(decay, np.array([0.0, s]), 0, 1, series)
        for n, (m, r, a) in enumerate(rates):
            c, (e_mem, e_syn, phi, by_mem, by_syn) = columns[:, n], exact(s, m, r)
            assert c[[lanes.M, lanes.A, lanes.B]] == pytest.approx([e_mem, e_syn, phi], rel=1e-15, abs=0.0)
            assert c[[lanes.B_MEM, lanes.B_SYN]] == pytest.approx([by_mem, by_syn], rel=3e-15, abs=0.0)
            assert c[[lanes.T_I, lanes.T_V]] == pytest.approx([r * e_syn, r * phi - m * e_mem], rel=2e-14)
            assert c[[lanes.A_SYN, lanes.M_MEM]] == pytest.approx([e_syn * s * r * r, e_mem * s * m * m], rel=3e-15)
            assert decay[n] == pytest.approx(float(mp.exp(-mp.mpf(s) * a)), rel=1e-15)


def test_what_takes_no_time_changes_nothing():
    _, _, series = tile(1)
    for degree in short_lanes.DEGREES:
        for n in range(LANES):
            assert short_lanes._sum_up(series, short_lanes.OF_MEM, n, degree, 0.0) == 1.0


@pytest.mark.parametrize(("degree", "reach"), CASES)
def test_sweep_short(degree, reach):
    rng, rates, series = tile(2)
    steps = reach / series[short_lanes.TOP] * rng.uniform(0.0, 1.0, NUMBER + 2)
    time, row_of = np.cumsum(steps), rng.integers(0, 6, 4 * lanes.AHEAD) * LANES
    table, ours = np.zeros(NUMBER * lanes.NUM_COEFFICIENTS * LANES), rng.normal(size=2 * lanes.STATE_SIZE)
    twin, twin_table, weights = ours.copy(), table.copy(), rng.normal(size=7 * LANES)
    call = compiled(short_lanes.sweep_short, 10, degree)
    mask = call(ours, lanes.STATE_SIZE, weights, LANES, row_of, table, time, 1, NUMBER, series)
    rest = weights, LANES, row_of, twin_table, time, 1, NUMBER, series, degree
    assert mask == short_lanes._sweep_short(twin, lanes.STATE_SIZE, *rest)
    np.testing.assert_array_equal(ours, twin)
    np.testing.assert_array_equal(table, twin_table)
    rows = table.reshape(NUMBER, lanes.NUM_COEFFICIENTS, LANES)[:, lanes.RISE, : len(rates)]
    x = np.diff(time[1 : NUMBER + 2])[:, None] * rates[:, 0]
    assert (rows >= 1.0 + x * np.exp(x)).all()
    assert (rows <= 1.0 + x * np.exp(x) * (1.0 + 2.0 * ROUNDING) + 0.7 * x * x).all()


def test_fill_decay():
    rng, _, series = tile(3)
    time, ours = np.cumsum(rng.uniform(0.0, 0.1, NUMBER + 2)), np.zeros(NUMBER * LANES)
    twin = ours.copy()
    compiled(short_lanes.fill_decay, 5)(ours, time, 1, NUMBER, series)
    short_lanes._fill_decay(twin, time, 1, NUMBER, series)
    np.testing.assert_array_equal(ours, twin)
    assert (ours > 0.0).all()


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("detail", [WEIGHTS, TIMES, TAUS, ALL])
@pytest.mark.parametrize("degree", short_lanes.DEGREES)
def test_fill_returns(degree, detail, number):
    rng, _, series = tile(4)
    ours, length = np.zeros(lanes.NUM_ADJOINT * LANES * (lanes.CHUNK + 1)), rng.uniform(0.0, 0.1, NUMBER)
    twin = ours.copy()
    compiled(short_lanes.fill_returns, 4, degree, detail)(ours, length, number, series)
    short_lanes._fill_returns(twin, length, number, series, degree, detail)
    np.testing.assert_array_equal(ours, twin)
    assert ours.any()


def test_padding_is_as_the_last_neuron():
    # in any unit of time its series stay finite, so that it never spoils a sum over a tile
    rates = np.full((2, 3), 1e-40)
    series = np.empty(short_lanes.SERIES_SIZE)
    short_lanes.set_series(0, 2, rates, True, series)
    assert np.isfinite(series[: short_lanes.TOP + 1]).all()
    assert np.isfinite(series[short_lanes.BEGIN[0] :]).all()
