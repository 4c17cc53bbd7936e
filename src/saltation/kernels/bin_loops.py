"""The innermost loops of the bins (bins.py), over the spikes of one input, in LLVM's vectors.

As in lanes.py every loop stands here a second time in plain Python: what runs without the JIT, and what the tests
compare with, to the last bit.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .vectors import DOUBLE, INT, PLAIN, SMALL, Builder, pointers

# Columns of the table of events: the factors e^{offset/tau_mem} and e^{offset/tau_syn}, 1, and the offset in the bin
F_MEM, F_SYN, ONE, OFFSET, NUM_FACTORS = range(5)
# Columns of the sums of a bin: of w e^{-r/tau_mem} and w e^{-r/tau_syn}, with r from the arrival to the end of the bin,
# and of the positive weights; and the number of the event that arrived last, from 1 on
S_MEM, S_SYN, POSITIVE, NEWEST, NUM_SUMS = range(5)
BETA, ALPHA, NUM_ADJOINT = range(3)  # columns of the table of adjoints at the ends of bins, see binned_backward.py


def _sum_events(first, stop, shift, limit, w_mem, w_syn, positive, keep, bins, table, sums, older):
    """Add the events first ... stop - 1 of an input to the sums of the bins of a neuron.

    bins (E,), table (E NUM_FACTORS,): of the events; shift: by so many bins they arrive later, and by one more if their
    offset is not below `limit`; w_mem, w_syn, positive: what the table is multiplied with; keep (NUM_FACTORS,): with
    what then, in one more bin. older[p]: the number of the event that arrived in the same bin before event p.
    """
    factors = w_mem, w_syn, positive
    for p in range(first, stop):
        row = p * NUM_FACTORS
        beyond = int(table[row + OFFSET] >= limit)
        place = (bins[p] + shift + beyond) * NUM_SUMS
        for k in (S_MEM, S_SYN, POSITIVE):
            sums[place + k] += (factors[k] * keep[k] if beyond else factors[k]) * table[row + k]
        older[p] = int(sums[place + NEWEST])
        sums[place + NEWEST] = p + 1
    return 0


def _use_events(first, stop, shift, limit, moves, keep, bins, table, adjoint, total, event, grad_times, want_times):
    """The sum, over the events, of what p at the end of the bin is at their arrival, until one comes in a bin with an
    edge (alpha is nan): returns its number, or `stop`. total (NUM_ADJOINT,): overwritten with the sum.

    The rest as for _sum_events; adjoint: flat; moves, a pair: if `want_times`, what makes of them dL/dt, which is added
    to grad_times[event[p]].
    """
    total[BETA], total[ALPHA] = 0.0, 0.0
    for p in range(first, stop):
        row = p * NUM_FACTORS
        beyond = int(table[row + OFFSET] >= limit)
        place = (bins[p] + shift + beyond) * NUM_ADJOINT
        if adjoint[place + ALPHA] != adjoint[place + ALPHA]:
            return p
        by = [adjoint[place + k] * (table[row + k] * (keep[k] if beyond else 1.0)) for k in (BETA, ALPHA)]
        total[BETA] += by[BETA]
        total[ALPHA] += by[ALPHA]
        if want_times:
            grad_times[event[p]] += by[BETA] * moves[BETA] + by[ALPHA] * moves[ALPHA]
    return stop


def _place(b, p, shift, limit, bins, table):
    """Append: where in the table event p is, a mask, all ones unless it is beyond, and the bin in which it arrives.

    The mask is the sign of a difference: where a comparison chooses, LLVM makes a branch, which is mispredicted half
    the time.
    """
    row = b.b.mul(p, b.number(NUM_FACTORS))
    difference = b.b.fsub(b.load(table, b.add(row, OFFSET)), limit)
    mask = b.b.ashr(b.b.bitcast(difference, INT), b.number(63))
    return row, mask, b.add(b.b.sext(b.load(bins, p), INT), shift, 1, mask)


def _choose(b, mask, near, far):
    """Append: far, or where the mask is all ones near."""
    count = near.type.count
    bits, whole = ir.VectorType(INT, count), b.vector(*[mask] * count)
    near, far = (b.b.bitcast(vector, bits) for vector in (near, far))
    return b.b.bitcast(b.b.xor(far, b.b.and_(whole, b.b.xor(near, far))), ir.VectorType(DOUBLE, count))


@intrinsic
def _sum_events_vectors(
    typing, first, stop, shift, limit, w_mem, w_syn, positive, keep, bins, table, sums, older
):  # fmt: skip
    """As _sum_events, if first < stop."""
    integer, number = types.int64, types.float64
    signature = integer(
        integer, integer, integer, number, number, number, number, keep, bins, table, sums, older
    )  # fmt: skip

    def generate(context, builder, signature, values):
        first, stop, shift, limit, *factors, keep, bins, table, sums, older = pointers(
            context, builder, signature, values
        )
        b, before = Builder(builder), builder.block
        near = b.vector(*factors, ir.Constant(DOUBLE, 0.0))
        far = builder.fmul(near, b.load_row(keep, b.number(0), NUM_SUMS))
        loop, done = builder.append_basic_block("events"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        p = builder.phi(INT)
        row, mask, bin = _place(b, p, shift, limit, bins, table)
        place = builder.mul(bin, b.number(NUM_SUMS))
        old = b.load_row(sums, place, NUM_SUMS)
        new = builder.fadd(old, builder.fmul(_choose(b, mask, near, far), b.load_row(table, row, NUM_SUMS)))
        last, number = builder.extract_element(old, ir.Constant(SMALL, NEWEST)), b.add(p, 1)
        new = builder.insert_element(new, builder.sitofp(number, DOUBLE), ir.Constant(SMALL, NEWEST))
        b.store_row(new, sums, place)
        builder.store(builder.fptosi(last, SMALL), builder.gep(older, [p]))
        p.add_incoming(first, before)
        p.add_incoming(number, loop)
        builder.cbranch(builder.icmp_signed("<", number, stop), loop, done)
        builder.position_at_end(done)
        return b.number(0)

    return signature, generate


@intrinsic
def _use_events_vectors(
    typing, first, stop, shift, limit, moves, keep, bins, table, adjoint, total, event, grad_times, want_times
):  # fmt: skip
    """As _use_events, if first < stop."""
    if not isinstance(want_times, types.BooleanLiteral):
        return None  # Numba asks again with the literal
    integer, wanted = types.int64, want_times.literal_value
    signature = integer(
        integer, integer, integer, types.float64, moves, keep, bins, table, adjoint, total, event, grad_times,
        want_times,
    )  # fmt: skip

    def generate(context, builder, signature, values):
        first, stop, shift, limit, moves, keep, bins, table, adjoint, total, event, grad_times, _ = pointers(
            context, builder, signature, values
        )
        b, before = Builder(builder), builder.block
        moves = b.vector(*(builder.extract_value(moves, k) for k in (BETA, ALPHA)))
        one, start = (b.vector(*[ir.Constant(DOUBLE, value)] * NUM_ADJOINT) for value in (1.0, 0.0))
        far = b.load_row(keep, b.number(0), NUM_ADJOINT)
        loop, inside, done = (builder.append_basic_block(name) for name in ("events", "inside", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        p, sums = builder.phi(INT), builder.phi(start.type)
        row, mask, bin = _place(b, p, shift, limit, bins, table)
        known = b.load_row(adjoint, builder.mul(bin, b.number(NUM_ADJOINT)), NUM_ADJOINT)
        alpha = builder.extract_element(known, ir.Constant(SMALL, ALPHA))
        builder.cbranch(builder.fcmp_unordered("uno", alpha, alpha), done, inside)
        builder.position_at_end(inside)
        factor = builder.fmul(b.load_row(table, row, NUM_ADJOINT), _choose(b, mask, one, far))
        by = builder.fmul(known, factor)
        if wanted:
            parts = builder.fmul(by, moves)
            by_t = builder.fadd(*(builder.extract_element(parts, ir.Constant(SMALL, k)) for k in (BETA, ALPHA)))
            pointer = builder.gep(grad_times, [b.load(event, p)])
            builder.store(builder.fadd(builder.load(pointer), by_t), pointer)
        added, following = builder.fadd(sums, by), b.add(p, 1)
        builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)
        for value, begin, after in ((p, first, following), (sums, start, added)):
            value.add_incoming(begin, before)
            value.add_incoming(after, inside)
        builder.position_at_end(done)
        end, result = builder.phi(INT), builder.phi(start.type)
        for value, at_edge, at_stop in ((end, p, following), (result, sums, added)):
            value.add_incoming(at_edge, loop)
            value.add_incoming(at_stop, inside)
        b.store_row(result, total, b.number(0))
        return end

    return signature, generate


sum_events = _sum_events if PLAIN else _sum_events_vectors
use_events = _use_events if PLAIN else _use_events_vectors
