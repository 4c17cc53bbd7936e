"""The flow over short intervals of neurons that have time constants of their own, in LLVM's vectors as in lanes.py.

Over an interval of length s all of it is a power series in u = s top, top the largest rate 1/tau of the tile, with
coefficients for each lane that alternate in sign and shrink: nothing cancels, and no exponential is needed (README.md,
section 4). Every loop stands here a second time in plain Python.
"""

from math import comb

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .crossing import ROUNDING
from .jit import borrowing
from .lanes import (
    A_SYN,
    B_MEM,
    B_SYN,
    CHUNK,
    E_MEM,
    E_SYN,
    FALL,
    LANES,
    M_MEM,
    NUM_ADJOINT,
    NUM_COEFFICIENTS,
    PHI,
    RISE,
    T_I,
    T_V,
    TAUS,
    TIMES,
    A,
    B,
    M,
    _sweep_chunk,
    sweep_events,
)
from .vectors import DOUBLE, INT, PLAIN, Builder, pointers

# Taylor terms from which the series are made, and the degrees of these, each for u up to its reach.
TERMS = 20
LOW, MIDDLE, HIGH = DEGREES = 7, 9, 11
LOW_REACH, MIDDLE_REACH, HIGH_REACH = REACHES = 0.11, 0.36, 0.8
STEEP = float(1.001 * np.expm1(HIGH_REACH) / HIGH_REACH)  # e^x < 1 + STEEP x up to there
# Offsets of the rows of a tile. With m, n = 1/tau_mem, 1/tau_syn: m/top, 1 - n/m, m, n, m^2/top, n^2/top; and top.
UNIT, LEAD, MEM, SYN, MEM_UNIT, SYN_UNIT, TOP = (LANES * row for row in range(7))
# Then of every degree the series of e^{-s/tau_mem}, phi/u, k/u^2 and e^{-s/tau_adapt}, with
# k = m top int_0^s x e^{-m(s-x)} e^{-nx} dx, from which both derivatives of phi follow as in flow.phi_gradient.
OF_MEM, OF_PHI, OF_K, OF_ADAPT = range(4)
BEGIN = tuple(TOP + LANES + 4 * LANES * sum(degree + 1 for degree in DEGREES[:c]) for c in range(len(DEGREES)))
TAYLOR = BEGIN[-1] + 4 * LANES * (HIGH + 1)  # scratch: the terms of one of them
SERIES_SIZE = TAYLOR + LANES * TERMS


def _economies(degree, reach):
    """(degree + 1, TERMS): coefficient i of what takes the place of u^j in 0 <= u <= reach.

    That is u^j up to `degree`, and beyond it the first Chebyshev polynomials of z = u/reach in
    z^j = 2^(1 - 2j) (C(2j, j)/2 + sum_k C(2j, j - k) T_k(2z - 1)); but nothing changes at u = 0.
    """
    chebyshev = [[1], [-1, 2]]  # coefficients of z^i in T_k(2z - 1)
    while len(chebyshev) <= degree:
        (*_, older, old), new = chebyshev, [0] * (len(chebyshev) + 1)
        for i, value in enumerate(old):
            new[i], new[i + 1] = new[i] - 2 * value, new[i + 1] + 4 * value
        chebyshev.append([value - (older[i] if i < len(older) else 0) for i, value in enumerate(new)])
    result = np.eye(degree + 1, TERMS)
    for j in range(degree + 1, TERMS):
        for i in range(1, degree + 1):
            total = sum(comb(2 * j, j - k) * chebyshev[k][i] for k in range(i, degree + 1))
            result[i, j] = total / 2 ** (2 * j - 1) * reach ** (j - i)
    return result


ECONOMIES = np.zeros((len(DEGREES), HIGH + 1, TERMS))
for _c, _degree in enumerate(DEGREES):
    ECONOMIES[_c, : _degree + 1] = _economies(_degree, REACHES[_c])


@borrowing
def _economise(which, series):
    """The series number `which` of all degrees from their Taylor terms."""
    for c in range(len(DEGREES)):
        degree = DEGREES[c]
        for i in range(degree + 1):
            row = BEGIN[c] + LANES * (which * (degree + 1) + i)
            for lane in range(LANES):
                series[row + lane] = series[TAYLOR + LANES * i + lane]
            for j in range(degree + 1, TERMS):
                factor = ECONOMIES[c, i, j]
                for lane in range(LANES):
                    series[row + lane] += factor * series[TAYLOR + LANES * j + lane]


@borrowing
def _set_terms(which, lane, m, n, series):
    """The Taylor terms of series number `which` of a lane, with m and n in units of top; of e^{-s/tau}: m = 1/tau."""
    signed, power, total = 1.0, 1.0, 1.0  # signed: (-1)^j / j!
    for j in range(TERMS):
        at = TAYLOR + LANES * j + lane
        if which == OF_PHI:  # total: the sum of m^i n^k with i + k = j
            series[at] = signed / (j + 1) * m * total
            power *= n
            total = m * total + power
        elif which == OF_K:  # total: the sum of k m^i n^(k - 1) with i + k = j + 1
            series[at] = signed / ((j + 1) * (j + 2)) * m * total
            power *= n
            total = m * total + (j + 2) * power
        else:
            series[at] = signed * power
            power *= m
        signed /= -(j + 1)


@borrowing
def set_series(first, last, rates, adaptive, series):
    """Fill `series` (SERIES_SIZE,) for the neurons first ... last - 1 of a tile; rates (N, 3): 1/tau."""
    top = 0.0
    for n in range(first, last):
        top = max(top, rates[n, 0], rates[n, 1], rates[n, 2] if adaptive else 0.0)
    series[TOP] = top
    for lane in range(LANES):
        rate = rates[min(first + lane, last - 1)]  # padding: as the last one
        m, n = rate[0], rate[1]
        series[UNIT + lane], series[LEAD + lane], series[MEM + lane], series[SYN + lane] = m / top, 1.0 - n / m, m, n
        series[MEM_UNIT + lane], series[SYN_UNIT + lane] = m * (m / top), n * (n / top)
    for which in range(4 if adaptive else 3):
        for lane in range(LANES):
            rate = rates[min(first + lane, last - 1)]
            _set_terms(which, lane, rate[2 if which == OF_ADAPT else 0] / top, rate[1] / top, series)
        _economise(which, series)


def _series_at(which, degree):
    """Where in a tile's rows the series of this degree begins."""
    return BEGIN[DEGREES.index(degree)] + LANES * which * (degree + 1)


def _sum_up(series, which, n, degree, u):
    """A series of lane n for u: even and odd powers by themselves, which takes half as long."""
    sums, at = [], _series_at(which, degree) + n
    for start in (degree - degree % 2, degree - 1 + degree % 2):
        total = series[at + LANES * start]
        for j in range(start - 2, -1, -2):
            total = total * (u * u) + series[at + LANES * j]
        sums.append(total)
    return sums[0] + sums[1] * u


def _sweep_short(x, state, weights, rows, row_of, table, time, first, number, series, degree):
    """`lanes.sweep_chunk` for neurons of their own, and the table of the coefficients that it takes.

    Interval k lies between time[k] and time[k + 1].
    """
    for k in range(number):
        u = (time[first + k + 1] - time[first + k]) * series[TOP]
        for n in range(LANES):
            e_mem = _sum_up(series, OF_MEM, n, degree, u)
            phi = _sum_up(series, OF_PHI, n, degree, u) * u
            e_syn = e_mem + phi * series[LEAD + n]
            x_mem = series[UNIT + n] * u
            c = (x_mem * x_mem) * STEEP + x_mem * (1.0 + ROUNDING)
            at = k * NUM_COEFFICIENTS * LANES + n
            table[at + E_MEM * LANES], table[at + PHI * LANES], table[at + E_SYN * LANES] = e_mem, phi, e_syn
            table[at + RISE * LANES], table[at + FALL * LANES] = c + 1.0, e_syn * c
    return _sweep_chunk(x, state, weights, rows, row_of, table, first, number, True)


def _fill_decay(decay, time, first, number, series):
    """e^{-s/tau_adapt} likewise."""
    for k in range(number):
        u = (time[first + k + 1] - time[first + k]) * series[TOP]
        for n in range(LANES):
            decay[k * LANES + n] = _sum_up(series, OF_ADAPT, n, HIGH, u)
    return 0


def _fill_returns(table, length, number, series, degree, detail):
    """The columns of `lanes.carry_chunk` for `number` arrivals, a time length[k] before the last of them, and each
    neuron: of these as far as `detail` needs them. length[number - 1] leads to the next chunk: row CHUNK.
    """
    for k in range(number + 1):  # the last one itself needs no sums
        u = length[k] * series[TOP] if k < number else 0.0
        row = CHUNK if k == number - 1 else min(k, number - 1)
        for n in range(LANES):
            at = row * NUM_ADJOINT * LANES + n
            m, syn = series[MEM + n], series[SYN + n]
            e_mem = _sum_up(series, OF_MEM, n, degree, u)
            phi = _sum_up(series, OF_PHI, n, degree, u) * u
            e_syn = e_mem + phi * series[LEAD + n]
            table[at + A * LANES], table[at + B * LANES], table[at + M * LANES] = e_syn, phi, e_mem
            if detail & TIMES:
                table[at + T_I * LANES], table[at + T_V * LANES] = e_syn * syn, phi * syn - e_mem * m
            if detail & TAUS:
                kay = _sum_up(series, OF_K, n, degree, u) * (u * u)
                phi_mem = m * ((phi * u - kay) * series[UNIT + n] - phi)
                table[at + A_SYN * LANES], table[at + B_MEM * LANES] = (e_syn * u) * series[SYN_UNIT + n], phi_mem
                table[at + B_SYN * LANES] = kay * series[SYN_UNIT + n]
                table[at + M_MEM * LANES] = (e_mem * u) * series[MEM_UNIT + n]
    return 0


class _Series(Builder):
    """The words, and sums of the series of a tile for one u after the other."""

    def __init__(self, builder, series, degree):
        super().__init__(builder)
        self.series, self.degree, self.u, self.square = series, degree, None, None

    def at(self, time):
        """From now on sums are those over an interval of length `time`, a scalar."""
        self.u = self.spread(self.b.fmul(time, self.load(self.series, self.number(TOP))))
        self.square = self.b.fmul(self.u, self.u)

    def row(self, offset):
        return self.load_row(self.series, self.number(offset))

    def sum_up(self, which):
        sums, offset = [], _series_at(which, self.degree)
        for start in (self.degree - self.degree % 2, self.degree - 1 + self.degree % 2):
            total = self.row(offset + LANES * start)
            for j in range(start - 2, -1, -2):
                total = self.b.fadd(self.b.fmul(total, self.square), self.row(offset + LANES * j))
            sums.append(total)
        return self.b.fadd(sums[0], self.b.fmul(sums[1], self.u))

    def times_u(self, value):
        return self.b.fmul(value, self.u)

    def times(self, value, offset):
        return self.b.fmul(value, self.row(offset))

    def flow(self):
        """e^{-s/tau_mem}, phi, e^{-s/tau_syn}."""
        e_mem, phi = self.sum_up(OF_MEM), self.times_u(self.sum_up(OF_PHI))
        return e_mem, phi, self.b.fadd(e_mem, self.times(phi, LEAD))

    def store_columns(self, columns, table, at):
        for j, value in columns.items():
            self.store_row(value, table, self.add(at, j * LANES))


def _repeat(builder, number, body):
    """Append a loop that does body(k) for 0 <= k < number, number > 0; what follows comes after it."""
    before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(INT)
    k.add_incoming(ir.Constant(INT, 0), before)
    body(k)
    following = builder.add(k, ir.Constant(INT, 1))
    k.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, number), loop, done)
    builder.position_at_end(done)


@intrinsic
def _sweep_short_vectors(typing, x, state, weights, rows, row_of, table, time, first, number, series, degree):
    """As _sweep_short, if number > 0."""
    if not isinstance(degree, types.IntegerLiteral):
        return None  # Numba asks again with the literal
    integer, terms = types.int64, degree.literal_value
    signature = types.int64(
        x, integer, weights, integer, row_of, table, time, integer, integer, series, degree
    )  # fmt: skip

    def generate(context, builder, signature, values):
        x, state, weights, rows, row_of, table, time, first, number, series, _ = pointers(
            context, builder, signature, values
        )
        b = _Series(builder, series, terms)

        def coefficients(k):
            b.at(builder.fsub(b.load(time, b.add(k, 1)), b.load(time, k)))
            e_mem, phi, e_syn = b.flow()
            x_mem = b.times(b.u, UNIT)
            steep, more = (b.spread(ir.Constant(DOUBLE, value)) for value in (STEEP, 1.0 + ROUNDING))
            c = b.dot((builder.fmul(x_mem, x_mem), steep), (x_mem, more))
            rise = builder.fadd(c, b.spread(ir.Constant(DOUBLE, 1.0)))
            columns = {E_MEM: e_mem, PHI: phi, E_SYN: e_syn, RISE: rise, FALL: builder.fmul(e_syn, c)}
            at = builder.mul(builder.sub(k, first), b.number(NUM_COEFFICIENTS * LANES))
            b.store_columns(columns, table, at)
            return [columns[j] for j in range(NUM_COEFFICIENTS)]

        return sweep_events(b, x, state, weights, rows, row_of, first, number, coefficients)

    return signature, generate


@intrinsic
def _fill_decay_vectors(typing, decay, time, first, number, series):
    """As _fill_decay, if number > 0."""

    def generate(context, builder, signature, values):
        decay, time, first, number, series = pointers(context, builder, signature, values)
        b = _Series(builder, series, HIGH)

        def interval(k):
            begin = b.add(first, k)
            b.at(builder.fsub(b.load(time, b.add(begin, 1)), b.load(time, begin)))
            b.store_row(b.sum_up(OF_ADAPT), decay, builder.mul(k, b.number(LANES)))

        _repeat(builder, number, interval)
        return b.number(0)

    return types.int64(decay, time, types.int64, types.int64, series), generate


def _return_columns(b, detail):
    """The columns of `lanes.carry_chunk` at the u of b."""
    e_mem, phi, e_syn = b.flow()
    columns = {A: e_syn, B: phi, M: e_mem}
    if detail & TIMES:
        columns |= {T_I: b.times(e_syn, SYN), T_V: b.b.fsub(b.times(phi, SYN), b.times(e_mem, MEM))}
    if detail & TAUS:
        k = b.b.fmul(b.sum_up(OF_K), b.square)
        change = b.b.fsub(b.times(b.b.fsub(b.times_u(phi), k), UNIT), phi)
        columns |= {A_SYN: b.times(b.times_u(e_syn), SYN_UNIT), B_MEM: b.times(change, MEM)}
        columns |= {B_SYN: b.times(k, SYN_UNIT), M_MEM: b.times(b.times_u(e_mem), MEM_UNIT)}
    return columns


@intrinsic
def _fill_returns_vectors(typing, table, length, number, series, degree, detail):
    """As _fill_returns, if number > 0."""
    if not isinstance(degree, types.IntegerLiteral) or not isinstance(detail, types.IntegerLiteral):
        return None
    terms, wanted = degree.literal_value, detail.literal_value

    def generate(context, builder, signature, values):
        table, length, number, series, *_ = pointers(context, builder, signature, values)
        b = _Series(builder, series, terms)
        size, last = b.number(NUM_ADJOINT * LANES), b.add(number, -1)

        def arrival(k):
            b.at(b.load(length, k))
            row = builder.select(builder.icmp_signed("<", k, last), k, b.number(CHUNK))
            b.store_columns(_return_columns(b, wanted), table, builder.mul(row, size))

        _repeat(builder, number, arrival)
        zero, one = (b.spread(ir.Constant(DOUBLE, value)) for value in (0.0, 1.0))
        columns = {A: one, B: zero, M: one}
        if wanted & TIMES:
            columns |= {T_I: b.row(SYN), T_V: builder.fsub(zero, b.row(MEM))}
        if wanted & TAUS:
            columns |= dict.fromkeys((A_SYN, B_MEM, B_SYN, M_MEM), zero)
        b.store_columns(columns, table, builder.mul(last, size))
        return b.number(0)

    return types.int64(table, length, types.int64, series, degree, detail), generate


sweep_short = _sweep_short if PLAIN else _sweep_short_vectors
fill_decay = _fill_decay if PLAIN else _fill_decay_vectors
fill_returns = _fill_returns if PLAIN else _fill_returns_vectors
