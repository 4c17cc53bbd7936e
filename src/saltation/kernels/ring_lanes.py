"""The innermost loops of the rings (rings.py): an emission and the LANES neurons of a tile, in LLVM's vectors.

As in lanes.py every loop stands here a second time in plain Python: what runs without the JIT, and what the tests
compare with, to the last bit.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .crossing import ROUNDING
from .vectors import DOUBLE, INT, LANES, PLAIN, ROW, SMALL, Builder, pointers

DEGREE = 8  # of the polynomials
# Of the coefficients: e^{-r/tau_syn} and phi(r) as polynomials; the duration, bins per time, the number of the last
# bin, the depth of the rings; 1/tau_syn, 1/tau_mem and lead.
BY_SYN, BY_PHI = 0, DEGREE + 1
DURATION, RATE, LAST, DEPTH, RATE_SYN, RATE_MEM, LEAD, NUM_COEFFICIENTS = range(2 * (DEGREE + 1), 2 * (DEGREE + 1) + 8)
# Rows of the synapses of a source to a tile, and their size
WEIGHT, DELAY, SYNAPSES = 0, LANES, 2 * LANES
# Rows of the factors of arrivals, e^{-r/tau_syn} and phi(r), and their size
E_SYN, PHI, FACTORS = 0, LANES, 2 * LANES
# Columns of the sums of a bin: README.md, section 4. NEWEST: the number of the last emission that arrives in it.
S_V, S_I, RISE, NEWEST, NUM_SUMS = range(5)
P_V, P_I, NUM_ADJOINT = range(3)  # columns of a ring of adjoints at the ends of bins, nan if there is an edge in it
# Rows of the state of a tile at the start of a bin and at its end, and what belongs to its neurons.
V, I, A, V_NEXT, I_NEXT, A_NEXT, LEVEL, RELEASE, E_ADAPT = (LANES * row for row in range(9))
STATE_SIZE = 9 * LANES


def _find_arrivals(T, first, base, synapses, begin, coefficients, ring, width, factors, places, at):
    """Where an emission at T arrives at a tile, not before bin `first`; its places in the ring are asked for.

    synapses[begin:]: of its source to the tile; base: the number of the bin in row 0 of the ring; width: columns of the
    ring. Fills factors[at FACTORS:] and places[at LANES:], of the columns of each neuron in the ring; what arrives
    after the end of the sample has the row behind all bins.
    """
    c = coefficients
    for n in range(LANES):
        t = T + synapses[begin + DELAY + n]
        in_bins = min(t, c[DURATION]) * c[RATE]
        bin = min(max(float(int(in_bins)), first), c[LAST])
        x = (bin + 0.5) - in_bins
        for offset, k in (E_SYN, BY_SYN), (PHI, BY_PHI):
            x_2 = x * x
            x_4 = x_2 * x_2
            low = (c[k] + c[k + 1] * x) + (c[k + 2] + c[k + 3] * x) * x_2
            high = (c[k + 4] + c[k + 5] * x) + (c[k + 6] + c[k + 7] * x) * x_2
            factors[at * FACTORS + offset + n] = low + x_4 * (high + c[k + 8] * x_4)
        row = bin - base
        row = row - c[DEPTH] if row >= c[DEPTH] else row
        places[at * LANES + n] = (int(row if t < c[DURATION] else c[DEPTH]) * LANES + n) * width
    return 0


def _add_arrivals(number, synapses, begin, factors, places, at, ring, older, chain):
    """Add what `find_arrivals` found of emission `number` to a ring of sums; older[chain:]: the emission that arrived
    in the same bin before it.
    """
    for n in range(LANES):
        w, sums = synapses[begin + WEIGHT + n], places[at * LANES + n]
        rises = w * factors[at * FACTORS + PHI + n]
        ring[sums + S_V] += rises
        ring[sums + S_I] += w * factors[at * FACTORS + E_SYN + n]
        ring[sums + RISE] += max(rises, 0.0)
        older[chain + n] = int(ring[sums + NEWEST])
        ring[sums + NEWEST] = number
    return 0


def _use_adjoint(synapses, begin, coefficients, factors, places, at, ring, grad, total, strength):
    """dL/dw and dL/ddelay of what `find_arrivals` found, of all arrivals but those in bins with an edge; returns a mask
    of these. total[0]: the sum over the others of dL/dt; or if `strength`, of dL/dstrength.

    grad[begin:]: += those of the synapses, but if `strength`.
    """
    c, mask, products = coefficients, 0, [0.0] * LANES
    for n in range(LANES):
        place, e_syn, phi = places[at * LANES + n], factors[at * FACTORS + E_SYN + n], factors[at * FACTORS + PHI + n]
        p_V, p_I = ring[place + P_V], ring[place + P_I]
        if p_V != p_V:
            p_V, p_I, mask = 0.0, 0.0, mask | 1 << n
        w, by_w = synapses[begin + WEIGHT + n], p_I * e_syn + p_V * phi
        by_t = w * (by_w * c[RATE_SYN] - p_V * (e_syn - phi * c[LEAD]) * c[RATE_MEM])
        products[n] = w * by_w if strength else by_t
        if not strength:
            grad[begin + WEIGHT + n] += by_w
            grad[begin + DELAY + n] += by_t
    while len(products) > 1:  # in the order in which vectors are added up
        half = len(products) // 2
        products = [products[m] + products[m + half] for m in range(half)]
    total[0] = products[0]
    return mask


def _pass_bin(x, ring, first, t, t_end, e_mem, phi, e_syn, fall):
    """A tile of neurons through a bin from t to t_end, whose sums are ring[first:]; returns a mask of those that could
    spike in it, or are released.

    The bound without arrivals is that of lanes.py, V <= max(V, v, v + (v - i) fall) with v and i at the end of the bin,
    fall = (h/tau_mem) e^{h/tau_mem}; arrivals raise V by RISE at most. It is no bound where V is released within the
    bin.
    """
    mask = 0
    for n in range(LANES):
        sums = first + n * NUM_SUMS
        V_0, I_0, a, rise, release = x[V + n], x[I + n], x[A + n], ring[sums + RISE], x[RELEASE + n]
        v, i, a_next = V_0 * e_mem + I_0 * phi, I_0 * e_syn, a * x[E_ADAPT + n]
        top = max(v + (v - i) * fall, max(v, V_0)) + rise - min(a, a_next)
        noise = ROUNDING * (abs(V_0) + abs(I_0) + (abs(a) + rise))
        held = release >= t_end
        x[V_NEXT + n] = V_0 if held else v + ring[sums + S_V]
        x[I_NEXT + n], x[A_NEXT + n] = i + ring[sums + S_I], a_next
        if (top + noise >= x[LEVEL + n] or release > t) and not held:
            mask |= 1 << n
    return mask


def _lanes_of(kind):
    return ir.VectorType(kind, LANES)


def _polynomial(b, x, c, k):
    """Append c[k] + c[k + 1] x + ... + c[k + 8] x^8."""
    plus, times = b.b.fadd, b.b.fmul
    x_2 = times(x, x)
    x_4 = times(x_2, x_2)
    low, high = (
        plus(plus(c(k + j), times(c(k + j + 1), x)), times(plus(c(k + j + 2), times(c(k + j + 3), x)), x_2))
        for j in (0, 4)
    )
    return plus(low, times(x_4, plus(high, times(c(k + 8), x_4))))


@intrinsic
def _find_arrivals_vectors(
    typing, T, first, base, synapses, begin, coefficients, ring, width, factors, places, at
):  # fmt: skip
    """As _find_arrivals."""
    integer, number = types.int64, types.float64
    signature = integer(
        number, number, number, synapses, integer, coefficients, ring, integer, factors, places, integer
    )  # fmt: skip

    def generate(context, builder, signature, values):
        T, first, base, synapses, begin, coefficients, ring, width, factors, places, at = pointers(
            context, builder, signature, values
        )
        b, low = Builder(builder), ir.Constant(_lanes_of(INT), list(range(LANES)))

        def c(k):
            return b.spread(b.load(coefficients, b.number(k)))

        t = builder.fadd(b.spread(T), b.load_row(synapses, b.add(begin, DELAY)))
        inside = builder.fcmp_ordered("<", t, c(DURATION))
        in_bins = builder.fmul(builder.select(inside, t, c(DURATION)), c(RATE))
        whole = builder.sitofp(builder.fptosi(in_bins, _lanes_of(SMALL)), ROW)
        later = b.larger(whole, b.spread(first))
        bin = builder.select(builder.fcmp_ordered("<", later, c(LAST)), later, c(LAST))
        x = builder.fsub(builder.fadd(bin, b.spread(ir.Constant(DOUBLE, 0.5))), in_bins)
        of_factors = builder.mul(at, b.number(FACTORS))
        for offset, k in (E_SYN, BY_SYN), (PHI, BY_PHI):
            b.store_row(_polynomial(b, x, c, k), factors, b.add(of_factors, offset))
        row = builder.fsub(bin, b.spread(base))
        row = builder.select(builder.fcmp_ordered(">=", row, c(DEPTH)), builder.fsub(row, c(DEPTH)), row)
        row = builder.select(inside, row, c(DEPTH))
        row = builder.zext(builder.fptosi(row, _lanes_of(SMALL)), _lanes_of(INT))
        row = builder.add(builder.mul(row, ir.Constant(_lanes_of(INT), [LANES] * LANES)), low)
        place = builder.mul(row, b.spread(width))
        pointer = builder.gep(places, [builder.mul(at, b.number(LANES))])
        builder.store(place, builder.bitcast(pointer, place.type.as_pointer())).align = 8
        for n in range(LANES):
            b.prefetch_line(ring, b.load(pointer, b.number(n)))
        return b.number(0)

    return signature, generate


@intrinsic
def _pass_bin_vectors(typing, x, ring, first, t, t_end, e_mem, phi, e_syn, fall):
    """As _pass_bin."""
    number = types.float64
    signature = types.int64(x, ring, types.int64, number, number, number, number, number, number)

    def generate(context, builder, signature, values):
        x, ring, first, t, t_end, *flow = pointers(context, builder, signature, values)
        b, plus, times = Builder(builder), builder.fadd, builder.fmul
        t, t_end, e_mem, phi, e_syn, fall = (b.spread(value) for value in (t, t_end, *flow))
        absolute = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ROW, [ROW]), f"llvm.fabs.v{LANES}f64"
        )  # fmt: skip

        def size(value):
            return builder.call(absolute, [value])

        columns = [[], [], []]
        for quarter in range(4):  # four neurons by four columns, turned over
            start = b.add(first, quarter * 4 * NUM_SUMS)
            four = b.load_row(ring, start, 4 * NUM_SUMS)
            for column, k in zip(columns, (S_V, S_I, RISE), strict=True):
                column.append(b.shuffle(four, four, range(k, 4 * NUM_SUMS, NUM_SUMS)))
        add_V, add_I, rise = (
            b.shuffle(
                *(b.shuffle(*column[k : k + 2], range(8)) for k in (0, 2)), range(LANES)
            )
            for column in columns
        )  # fmt: skip
        V_0, I_0, a, level, release, e_adapt = (
            b.load_row(x, b.number(row)) for row in (V, I, A, LEVEL, RELEASE, E_ADAPT)
        )  # fmt: skip
        v, i, a_next = b.dot((V_0, e_mem), (I_0, phi)), times(I_0, e_syn), times(a, e_adapt)
        falls = plus(v, times(builder.fsub(v, i), fall))
        top = plus(b.larger(falls, b.larger(v, V_0)), rise)
        lower = builder.select(builder.fcmp_ordered("<", a_next, a), a_next, a)
        noise = plus(plus(size(V_0), size(I_0)), plus(size(a), rise))
        bound = plus(builder.fsub(top, lower), times(b.spread(ir.Constant(DOUBLE, ROUNDING)), noise))
        held = builder.fcmp_ordered(">=", release, t_end)
        b.store_row(builder.select(held, V_0, plus(v, add_V)), x, b.number(V_NEXT))
        b.store_row(plus(i, add_I), x, b.number(I_NEXT))
        b.store_row(a_next, x, b.number(A_NEXT))
        seen = builder.or_(builder.fcmp_ordered(">=", bound, level), builder.fcmp_ordered(">", release, t))
        hot = builder.and_(seen, builder.not_(held))
        return builder.zext(builder.bitcast(hot, ir.IntType(LANES)), INT)

    return signature, generate


@intrinsic
def _add_arrivals_vectors(typing, number, synapses, begin, factors, places, at, ring, older, chain):
    """As _add_arrivals."""
    integer = types.int64
    signature = integer(types.float64, synapses, integer, factors, places, integer, ring, older, integer)

    def generate(context, builder, signature, values):
        number, synapses, begin, factors, places, at, ring, older, chain = pointers(context, builder, signature, values)
        b, of_factors, of_places = (
            Builder(builder), builder.mul(at, Builder(builder).number(FACTORS)),
            builder.mul(at, Builder(builder).number(LANES)),
        )  # fmt: skip
        w = b.load_row(synapses, b.add(begin, WEIGHT))
        rises = builder.fmul(w, b.load_row(factors, b.add(of_factors, PHI)))
        current = builder.fmul(w, b.load_row(factors, b.add(of_factors, E_SYN)))
        up = b.larger(rises, b.spread(ir.Constant(DOUBLE, 0.0)))
        columns = rises, current, up, b.spread(number)
        for first in range(0, LANES, 4):  # four neurons by four columns, turned over
            quarter = [b.shuffle(column, column, range(first, first + 4)) for column in columns]
            pairs = [
                b.shuffle(quarter[j], quarter[j + 1], places) for places in ((0, 4, 2, 6), (1, 5, 3, 7)) for j in (0, 2)
            ]
            for n in range(4):
                new = b.shuffle(*pairs[n % 2 * 2 : n % 2 * 2 + 2], ((0, 1, 4, 5), (2, 3, 6, 7))[n // 2])
                place = b.load(places, b.add(of_places, first + n))
                last = builder.fptosi(b.load(ring, b.add(place, NEWEST)), SMALL)
                old = b.load_row(ring, place, NUM_SUMS)
                summed = b.shuffle(builder.fadd(old, new), new, (0, 1, 2, 7))
                b.store_row(summed, ring, place)
                builder.store(last, builder.gep(older, [b.add(chain, first + n)]))
        return b.number(0)

    return signature, generate


@intrinsic
def _use_adjoint_vectors(typing, synapses, begin, coefficients, factors, places, at, ring, grad, total, strength):
    """As _use_adjoint."""
    if not isinstance(strength, types.BooleanLiteral):
        return None  # Numba asks again with the literal
    integer, of_strength = types.int64, strength.literal_value
    signature = integer(synapses, integer, coefficients, factors, places, integer, ring, grad, total, strength)

    def generate(context, builder, signature, values):
        synapses, begin, coefficients, factors, places, at, ring, grad, total, _ = pointers(
            context, builder, signature, values
        )
        b, times = Builder(builder), builder.fmul

        def c(k):
            return b.spread(b.load(coefficients, b.number(k)))

        of_factors, of_places = builder.mul(at, b.number(FACTORS)), builder.mul(at, b.number(LANES))
        both = [b.load_row(ring, b.load(places, b.add(of_places, n)), NUM_ADJOINT) for n in range(LANES)]
        while len(both) > 1:
            size = both[0].type.count
            both = [b.shuffle(both[n], both[n + 1], range(2 * size)) for n in range(0, len(both), 2)]
        p_V, p_I = (b.shuffle(both[0], both[0], range(k, 2 * LANES, 2)) for k in (P_V, P_I))
        known, nothing = builder.fcmp_ordered("ord", p_V, p_V), b.spread(ir.Constant(DOUBLE, 0.0))
        mask = builder.zext(builder.bitcast(builder.not_(known), ir.IntType(LANES)), INT)
        p_V, p_I = builder.select(known, p_V, nothing), builder.select(known, p_I, nothing)
        e_syn, phi = (b.load_row(factors, b.add(of_factors, k)) for k in (E_SYN, PHI))
        w = b.load_row(synapses, b.add(begin, WEIGHT))
        by_w = b.dot((p_I, e_syn), (p_V, phi))
        falls = times(times(p_V, builder.fsub(e_syn, times(phi, c(LEAD)))), c(RATE_MEM))
        by_t = times(w, builder.fsub(times(by_w, c(RATE_SYN)), falls))
        builder.store(b.total(times(w, by_w) if of_strength else by_t), total)
        for offset, value in () if of_strength else ((WEIGHT, by_w), (DELAY, by_t)):
            place = b.add(begin, offset)
            b.store_row(builder.fadd(b.load_row(grad, place), value), grad, place)
        return mask

    return signature, generate


find_arrivals = _find_arrivals if PLAIN else _find_arrivals_vectors
add_arrivals = _add_arrivals if PLAIN else _add_arrivals_vectors
pass_bin = _pass_bin if PLAIN else _pass_bin_vectors
use_adjoint = _use_adjoint if PLAIN else _use_adjoint_vectors
