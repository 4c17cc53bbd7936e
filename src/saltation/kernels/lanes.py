"""The innermost loops, with the state of LANES neurons in registers: written in LLVM's vectors.

Numba's own vectoriser may do the same, but not reliably: it must first prove that no two arrays overlap. Only this
file, short_lanes.py, bin_loops.py, ring_lanes.py and vectors.py know LLVM, which splits a row of LANES numbers into as
many registers as the processor needs. Every loop stands here a second time in plain Python: what runs without the JIT,
and what the tests compare with, to the last bit.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import kernel
from .vectors import CACHE_LINE, DOUBLE, INT, LANES, PLAIN, ROW, Builder, pointers

CHUNK = 8  # up to so many events at a time
SPARE = 1 + CHUNK  # rows of zeros behind those of the inputs in a tile of weights: for a sample's end, and for ghosts
AHEAD = 16  # so many events before it is needed a row of weights is asked for

# Rows of a tile's state x: V and I after the chunk, and before it; a, before and after it; a bound for V on the way;
# what V must not exceed unnoticed, level without a and bar with it.
V_ROW, I_ROW, V_BEFORE, I_BEFORE, A_ROW, A_AFTER, HIGHEST, LEVEL, BAR = (LANES * row for row in range(9))
STATE_SIZE = 9 * LANES
# Columns of the coefficients of an interval, of length s: e^{-s/tau_mem}, phi, e^{-s/tau_syn}, and with
# c = (s/tau_mem) e^{s/tau_mem}: 1 + c and e^{-s/tau_syn} c
E_MEM, PHI, E_SYN, RISE, FALL = range(5)
NUM_COEFFICIENTS = 5
# Columns of what an arrival does until the end of the chunk, a time s later: phi, e^{-s/tau_syn}, and a bound for phi
# until then.
LATE_PHI, LATE_SYN, LATE_CAP = range(3)
NUM_LATE = 3

# Rows of a tile's adjoint p at the end, the last arrival, of a chunk: p_V, p_I, their derivatives with respect to
# tau_mem and tau_syn as far as they are not 0, and the sums dL/dtau_mem and dL/dtau_syn.
P_V, P_I, V_BY_MEM, I_BY_MEM, I_BY_SYN, ACC_MEM, ACC_SYN = (LANES * row for row in range(7))
ADJOINT_SIZE = 7 * LANES
# Columns of the table of arrivals, each a time r before the last of its chunk: p_I(r) = A p_I + B p_V, p_V(r) = M p_V,
# dL/dt = w (T_I p_I + T_V p_V); and derivatives: A_SYN = dA/dtau_syn and so on.
A, B, M, T_V, T_I, A_SYN, B_MEM, B_SYN, M_MEM = range(9)
NUM_ADJOINT = 9
# What is wanted of an arrival: the gradient of its weight; that of its time, of the time constants, or both besides.
WEIGHTS, TIMES, TAUS, ALL = range(4)


@kernel
def aligned(size):
    """An array of `size` float64 that starts at a cache line."""
    buffer = np.empty(size + CACHE_LINE)
    skip = -(buffer.ctypes.data // 8) % CACHE_LINE
    return buffer[skip : skip + size]


def _sweep_chunk(x, state, weights, rows, row_of, table, first, number, own):
    """The free flow of a tile over the intervals first ... first + number - 1, at the end of each the arrival of a row
    of weights. Returns a mask: bit n is set if V of neuron n may have exceeded its bar on the way.

    x[state:]: the state of the tile; weights[rows + row_of[k]:]: the row that arrives after interval k; table: the
    coefficients, flat; of interval k, or if `own`, of interval k - first and each neuron.

    V on an interval is at most max(V at its start, v, v + (v - i) c) with v and i at its end: D = V - I obeys
    D' = -D/tau_mem + I/tau_syn, and after a maximum inside, where V = I > 0 if V is above a bar >= 0, D e^{x/tau_mem}
    grows, so that V falls from there by at most D c.
    """
    mask = 0
    for n in range(LANES):
        V, I = x[state + V_ROW + n], x[state + I_ROW + n]
        x[state + V_BEFORE + n], x[state + I_BEFORE + n] = V, I
        best = V
        for k in range(first, first + number):
            c = [table[((k - first) * NUM_COEFFICIENTS + j) * LANES + n if own else k * NUM_COEFFICIENTS + j]
                 for j in range(NUM_COEFFICIENTS)]  # fmt: skip
            v = V * c[E_MEM] + I * c[PHI]
            bound = v * c[RISE] - I * c[FALL]
            best = v if v > best else best
            best = bound if bound > best else best
            V, I = v, I * c[E_SYN] + weights[rows + row_of[k] + n]
        x[state + V_ROW + n], x[state + I_ROW + n], x[state + HIGHEST + n] = V, I, best
        if best > x[state + BAR + n]:
            mask |= 1 << n
    return mask


def _receive_late(x, state, weights, row, late, own):
    """The arrival of weights[row:] within the chunk that a tile has just gone through: adds its share of V and I at the
    end, as the flow is linear, and raises the bound. Returns the mask as `sweep_chunk` does.

    late: the columns LATE_PHI ... LATE_CAP, flat: of all neurons, or if `own`, of each.
    """
    mask = 0
    for n in range(LANES):
        c = [late[j * LANES + n if own else j] for j in range(NUM_LATE)]
        w = weights[row + n]
        x[state + V_ROW + n] += w * c[LATE_PHI]
        x[state + I_ROW + n] += w * c[LATE_SYN]
        x[state + HIGHEST + n] += (w if w > 0.0 else 0.0) * c[LATE_CAP]
        if x[state + HIGHEST + n] > x[state + BAR + n]:
            mask |= 1 << n
    return mask


def _carry_chunk(p, grad, weights, rows, row_of, table, begin, first, number, grad_times, detail, own):
    """The adjoint of a tile at the arrivals first ... first + number - 1, from the one at the end of the chunk, which
    begins with arrival `begin`.

    p: the rows P_V ... ACC_SYN, flat; grad[rows + row_of[k + AHEAD]:] += p_I of arrival k, dL/dw; weights: likewise;
    table: the columns A ... M_MEM, flat: of arrival k, or if `own`, of arrival k - begin and each neuron. With TIMES
    in detail grad_times[k - begin] = dL/dt of arrival k at all neurons, with TAUS ACC_MEM and ACC_SYN += dL/dtau of
    each.
    """
    for k in range(first, first + number):
        row, products = rows + row_of[k + AHEAD], [0.0] * LANES
        for n in range(LANES):
            c = [table[((k - begin) * NUM_ADJOINT + j) * LANES + n if own else k * NUM_ADJOINT + j]
                 for j in range(NUM_ADJOINT)]  # fmt: skip
            p_V, p_I, w = p[P_V + n], p[P_I + n], weights[row + n]
            grad[row + n] += p_V * c[B] + p_I * c[A]
            products[n] = w * (p_V * c[T_V] + p_I * c[T_I])
            if detail & TAUS:
                by_mem = p[I_BY_MEM + n] * c[A] + p[V_BY_MEM + n] * c[B] + p_V * c[B_MEM]
                by_syn = p[I_BY_SYN + n] * c[A] + p_I * c[A_SYN] + p_V * c[B_SYN]
                p[ACC_MEM + n] += w * by_mem
                p[ACC_SYN + n] += w * by_syn
        while len(products) > 1:  # in the order in which vectors are added up
            half = len(products) // 2
            products = [products[m] + products[m + half] for m in range(half)]
        if detail & TIMES:
            grad_times[k - begin] = products[0]
    return 0


def _step_chunk(p, table, at, detail, own):
    """The adjoint of a tile from the end of a chunk to that of the next one.

    p: as for `_carry_chunk`; table[at:]: the columns A ... M_MEM of the time between them, of all neurons, or if `own`,
    of each; detail: of which only TAUS matters.
    """
    for n in range(LANES):
        c = [table[at + (j * LANES + n if own else j)] for j in range(NUM_ADJOINT)]
        p_V, p_I, V_mem = p[P_V + n], p[P_I + n], p[V_BY_MEM + n]
        if detail & TAUS:
            p[I_BY_MEM + n] = p[I_BY_MEM + n] * c[A] + V_mem * c[B] + p_V * c[B_MEM]
            p[I_BY_SYN + n] = p[I_BY_SYN + n] * c[A] + p_I * c[A_SYN] + p_V * c[B_SYN]
            p[V_BY_MEM + n] = V_mem * c[M] + p_V * c[M_MEM]
        p[P_V + n], p[P_I + n] = p_V * c[M], p_I * c[A] + p_V * c[B]
    return 0


def _lowest_bit(mask):
    """The number of the lowest bit of `mask` that is set."""
    return int(mask & -mask).bit_length() - 1


def sweep_events(b, x, state, weights, rows, row_of, first, number, coefficients):
    """Append the loop of `_sweep_chunk`, and return the mask. coefficients(k) appends those of interval k."""
    builder, last = b.b, b.add(first, number)
    V_start, I_start = b.load_row(x, b.add(state, V_ROW)), b.load_row(x, b.add(state, I_ROW))
    b.store_row(V_start, x, b.add(state, V_BEFORE))
    b.store_row(I_start, x, b.add(state, I_BEFORE))
    before = builder.block
    loop, done = builder.append_basic_block("events"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(INT)
    V, I, best = (builder.phi(ROW) for _ in range(3))
    e_mem, phi, e_syn, rise, fall = coefficients(k)
    b.prefetch_row(weights, b.add(rows, b.load(row_of, b.add(k, AHEAD))))
    weight = b.load_row(weights, b.add(rows, b.load(row_of, k)))
    v = builder.fadd(builder.fmul(V, e_mem), builder.fmul(I, phi))
    bound = builder.fsub(builder.fmul(v, rise), builder.fmul(I, fall))
    highest = b.larger(bound, b.larger(v, best))
    i = builder.fadd(builder.fmul(I, e_syn), weight)
    k_next = b.add(k, 1)
    builder.cbranch(builder.icmp_signed("<", k_next, last), loop, done)
    starts = (k, first, k_next), (V, V_start, v), (I, I_start, i), (best, V_start, highest)
    for value, start, following in starts:
        value.add_incoming(start, before)
        value.add_incoming(following, loop)
    builder.position_at_end(done)
    b.store_row(v, x, b.add(state, V_ROW))
    b.store_row(i, x, b.add(state, I_ROW))
    b.store_row(highest, x, b.add(state, HIGHEST))
    return b.mask_of_larger(highest, b.load_row(x, b.add(state, BAR)))


@intrinsic
def _sweep_chunk_vectors(typing, x, state, weights, rows, row_of, table, first, number, own):
    """As _sweep_chunk, if number > 0."""
    if not isinstance(own, types.BooleanLiteral):
        return None  # Numba asks again with the literal
    integer, own_table = types.int64, own.literal_value
    signature = types.int64(x, integer, weights, integer, row_of, table, integer, integer, own)

    def generate(context, builder, signature, values):
        x, state, weights, rows, row_of, table, first, number, _ = pointers(context, builder, signature, values)
        b = Builder(builder)

        def coefficients(k):
            if own_table:
                at = builder.mul(builder.sub(k, first), b.number(NUM_COEFFICIENTS * LANES))
                return [b.load_row(table, b.add(at, j * LANES)) for j in range(NUM_COEFFICIENTS)]
            at = builder.mul(k, b.number(NUM_COEFFICIENTS))
            return [b.spread(b.load(table, b.add(at, j))) for j in range(NUM_COEFFICIENTS)]

        return sweep_events(b, x, state, weights, rows, row_of, first, number, coefficients)

    return signature, generate


@intrinsic
def _receive_late_vectors(typing, x, state, weights, row, late, own):
    """As _receive_late."""
    if not isinstance(own, types.BooleanLiteral):
        return None
    own_table = own.literal_value

    def generate(context, builder, signature, values):
        x, state, weights, row, late, _ = pointers(context, builder, signature, values)
        b = Builder(builder)
        w = b.load_row(weights, row)
        excitation = b.larger(w, b.spread(ir.Constant(DOUBLE, 0.0)))
        changes = (V_ROW, w, LATE_PHI), (I_ROW, w, LATE_SYN), (HIGHEST, excitation, LATE_CAP)
        for offset, factor, j in changes:
            place = b.add(state, offset)
            late_j = b.load_row(late, b.number(j * LANES)) if own_table else b.spread(b.load(late, b.number(j)))
            highest = builder.fadd(b.load_row(x, place), builder.fmul(factor, late_j))  # the last one
            b.store_row(highest, x, place)
        return b.mask_of_larger(highest, b.load_row(x, b.add(state, BAR)))

    return types.int64(x, types.int64, weights, types.int64, late, own), generate


@intrinsic
def _lowest_bit_fast(typing, mask):
    """As _lowest_bit, if one is set."""

    def generate(context, builder, signature, values):
        kind = ir.FunctionType(INT, [INT, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.cttz.i64")
        return builder.call(function, [values[0], ir.Constant(ir.IntType(1), 1)])

    return types.int64(types.int64), generate


def _prefetch(array, index):
    """Ask for the cache line of array[index], which may lie behind the end: a hint, that nothing depends on."""
    return 0


@intrinsic
def _prefetch_line(typing, array, index):
    """As _prefetch."""

    def generate(context, builder, signature, values):
        b = Builder(builder)
        b.prefetch_line(*pointers(context, builder, signature, values))
        return b.number(0)

    return types.int64(array, types.int64), generate


@intrinsic
def _carry_chunk_vectors(typing, p, grad, weights, rows, row_of, table, begin, first, number, grad_times, detail, own):
    """As _carry_chunk, if number > 0."""
    if not isinstance(own, types.BooleanLiteral) or not isinstance(detail, types.IntegerLiteral):
        return None
    integer, own_table, wanted = types.int64, own.literal_value, detail.literal_value
    signature = types.int64(
        p, grad, weights, integer, row_of, table, integer, integer, integer, grad_times, detail, own
    )  # fmt: skip

    def generate(context, builder, signature, values):
        p, grad, weights, rows, row_of, table, begin, first, number, grad_times, *_ = pointers(
            context, builder, signature, values
        )
        b = Builder(builder)
        p_V, p_I, V_mem, I_mem, I_syn = (b.load_row(p, b.number(LANES * row)) for row in range(5))
        sum_rows = (ACC_MEM, ACC_SYN) if wanted & TAUS else ()
        starts = [b.load_row(p, b.number(offset)) for offset in sum_rows]
        before, last = builder.block, b.add(first, number)
        loop, done = builder.append_basic_block("arrivals"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(INT)
        k.add_incoming(first, before)
        sums = [builder.phi(ROW) for _ in sum_rows]  # dL/dtau_mem and dL/dtau_syn
        at = builder.mul(builder.sub(k, begin) if own_table else k, b.number(NUM_ADJOINT * (LANES if own_table else 1)))

        def column(j):
            if own_table:
                return b.load_row(table, b.add(at, j * LANES))
            return b.spread(b.load(table, b.add(at, j)))

        far = b.add(rows, b.load(row_of, k))  # AHEAD arrivals earlier
        b.prefetch_row(grad, far)
        row = b.add(rows, b.load(row_of, b.add(k, AHEAD)))
        of_weight = builder.fadd(builder.fmul(p_V, column(B)), builder.fmul(p_I, column(A)))
        b.store_row(builder.fadd(b.load_row(grad, row), of_weight), grad, row)
        if wanted != WEIGHTS:
            b.prefetch_row(weights, far)
            w = b.load_row(weights, row)
        if wanted & TIMES:
            flow = builder.fadd(builder.fmul(p_V, column(T_V)), builder.fmul(p_I, column(T_I)))
            place = builder.gep(grad_times, [builder.sub(k, begin)])
            builder.store(b.total(builder.fmul(w, flow)), place)
        if wanted & TAUS:
            by_mem = b.dot((I_mem, column(A)), (V_mem, column(B)), (p_V, column(B_MEM)))
            by_syn = b.dot((I_syn, column(A)), (p_I, column(A_SYN)), (p_V, column(B_SYN)))
            after = [builder.fadd(sums[j], builder.fmul(w, by_tau)) for j, by_tau in enumerate((by_mem, by_syn))]
            for value, start, following in zip(sums, starts, after, strict=True):
                value.add_incoming(start, before)
                value.add_incoming(following, loop)
        k_next = b.add(k, 1)
        k.add_incoming(k_next, loop)
        builder.cbranch(builder.icmp_signed("<", k_next, last), loop, done)
        builder.position_at_end(done)
        for offset, value in zip(sum_rows, after if sum_rows else (), strict=True):
            b.store_row(value, p, b.number(offset))
        return b.number(0)

    return signature, generate


@intrinsic
def _step_chunk_vectors(typing, p, table, at, detail, own):
    """As _step_chunk."""
    if not isinstance(own, types.BooleanLiteral) or not isinstance(detail, types.IntegerLiteral):
        return None
    own_table, wanted = own.literal_value, detail.literal_value

    def generate(context, builder, signature, values):
        p, table, at, *_ = pointers(context, builder, signature, values)
        b = Builder(builder)

        def column(j):
            if own_table:
                return b.load_row(table, b.add(at, j * LANES))
            return b.spread(b.load(table, b.add(at, j)))

        p_V, p_I, V_mem, I_mem, I_syn = (b.load_row(p, b.number(LANES * row)) for row in range(5))
        rows = {P_V: builder.fmul(p_V, column(M)), P_I: b.dot((p_I, column(A)), (p_V, column(B)))}
        if wanted & TAUS:
            rows[I_BY_MEM] = b.dot((I_mem, column(A)), (V_mem, column(B)), (p_V, column(B_MEM)))
            rows[I_BY_SYN] = b.dot((I_syn, column(A)), (p_I, column(A_SYN)), (p_V, column(B_SYN)))
            rows[V_BY_MEM] = b.dot((V_mem, column(M)), (p_V, column(M_MEM)))
        for offset, value in rows.items():
            b.store_row(value, p, b.number(offset))
        return b.number(0)

    return types.int64(p, table, types.int64, detail, own), generate


sweep_chunk = _sweep_chunk if PLAIN else _sweep_chunk_vectors
receive_late = _receive_late if PLAIN else _receive_late_vectors
carry_chunk = _carry_chunk if PLAIN else _carry_chunk_vectors
step_chunk = _step_chunk if PLAIN else _step_chunk_vectors
lowest_bit = _lowest_bit if PLAIN else _lowest_bit_fast
prefetch = _prefetch if PLAIN else _prefetch_line
