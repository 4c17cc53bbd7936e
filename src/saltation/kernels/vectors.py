"""Words for LLVM's vectors of LANES numbers, for the loops of lanes.py and short_lanes.py."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config

LANES = 16  # so many neurons go through a sample together, padded where there are fewer
CACHE_LINE = 8  # float64

_config: Any = numba_config  # its settings are made at run time
PLAIN = bool(_config.DISABLE_JIT)  # whether the loops in plain Python take the place of those in vectors

DOUBLE, INT, SMALL = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
ROW = ir.VectorType(DOUBLE, LANES)


class Builder:
    """A few words for LLVM's instructions."""

    def __init__(self, b):
        self.b = b

    def number(self, value):
        """A constant."""
        return ir.Constant(INT, value)

    def add(self, *terms):
        """The sum of integers, constants among them."""
        total = terms[0]
        for term in terms[1:]:
            total = self.b.add(total, self.number(term) if isinstance(term, int) else term)
        return total

    def load(self, pointer, index):
        """array[index]"""
        return self.b.load(self.b.gep(pointer, [index]))

    def load_row(self, pointer, index, count=LANES):
        """array[index : index + count]"""
        kind = ir.VectorType(DOUBLE, count).as_pointer()
        value = self.b.load(self.b.bitcast(self.b.gep(pointer, [index]), kind))
        value.align = 8
        return value

    def store_row(self, value, pointer, index):
        """The same, written."""
        self.b.store(value, self.b.bitcast(self.b.gep(pointer, [index]), value.type.as_pointer())).align = 8

    def vector(self, *numbers):
        """A vector of these."""
        vector = ir.Constant(ir.VectorType(numbers[0].type, len(numbers)), ir.Undefined)
        for k, number in enumerate(numbers):
            vector = self.b.insert_element(vector, number, ir.Constant(SMALL, k))
        return vector

    def shuffle(self, x, y, places):
        """A vector of the numbers in these places of x and, behind it, y."""
        return self.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(SMALL, len(places)), list(places)))

    def spread(self, value):
        """A row of equal numbers, or integers."""
        nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        one = self.b.insert_element(nothing, value, ir.Constant(SMALL, 0))
        return self.shuffle(one, nothing, [0] * LANES)

    def larger(self, x, y):
        """The larger of two, in each place; y where there is no order."""
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)

    def mask_of_larger(self, x, y):
        """Bit n is set if x > y in place n."""
        return self.b.zext(self.b.bitcast(self.b.fcmp_ordered(">", x, y), ir.IntType(LANES)), INT)

    def dot(self, *pairs):
        """The sum of the products of pairs."""
        total = self.b.fmul(*pairs[0])
        for pair in pairs[1:]:
            total = self.b.fadd(total, self.b.fmul(*pair))
        return total

    def total(self, row):
        """The sum of a row: of its halves, of theirs, and so on."""
        half = LANES // 2
        while half > 0:
            low, high = (self.shuffle(row, row, range(k, k + half)) for k in (0, half))
            row, half = self.b.fadd(low, high), half // 2
        return self.b.extract_element(row, ir.Constant(SMALL, 0))

    def prefetch_row(self, pointer, index):
        """Ask for the lines of a row."""
        for line in range(0, LANES, CACHE_LINE):
            self.prefetch_line(pointer, self.add(index, line))

    def prefetch_line(self, pointer, index):
        """Ask for the cache line of array[index]."""
        byte, small = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, small, small, small])
        function = cgutils.get_or_insert_function(self.b.module, kind, "llvm.prefetch.p0")
        place = self.b.bitcast(self.b.gep(pointer, [index]), byte)
        self.b.call(function, [place, *(ir.Constant(small, value) for value in (0, 3, 1))])


def pointers(context, b, signature, values):
    """Of the arrays among the arguments the pointers to their data; the other arguments as they are."""
    return [
        context.make_array(kind)(context, b, value=value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, values, strict=True)
    ]
