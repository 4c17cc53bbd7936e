"""One interval of all neurons of a tile, for recurrent layers and the backward pass (README.md, section 4)."""

from math import exp, inf

import numpy as np

from .crossing import ROUNDING
from .flow import flow, phi_gradient
from .jit import kernel, sum_kernel
from .layout import TAU_ADAPT, TAU_MEM, TAU_SYN
from .tile import (
    LENGTH,
    OWN_ADAPT,
    OWN_MEM,
    OWN_PHI,
    OWN_PHI_MEM,
    OWN_PHI_SYN,
    OWN_SYN,
    PHI_MAX,
    RATE_MEM,
    RATE_SYN,
    TILE,
    own_flow,
)

# The flags of one group make one 64-bit word.
GROUP = 8
# The state of a tile: V, I, a; the same after an interval (the two change places with every interval); and levels.
STATE_A, STATE_B, LEVEL, STATE_SIZE = 0, 3 * TILE, 6 * TILE, 7 * TILE
# Columns of the table of intervals
E_MEM, E_SYN, PHI, E_ADAPT, CAP = range(5)
NUM_SHARED = 5


def _passes(before, after):
    """pass_plain and pass_adaptive for the state at offset `before` and the new one at offset `after`."""
    V, I, a = before, before + TILE, before + 2 * TILE
    V_next, I_next, a_next = after, after + TILE, after + 2 * TILE

    @kernel
    def pass_plain(x, weight, hot, interval):
        """The free flow of all neurons over an interval of length s, then the arrival of weight (TILE,).

        x (STATE_SIZE,). hot[n]: V of neuron n may have reached its level within the interval; returns whether any has.
        No branches, so that it vectorises.
        Without adaptation V has one maximum at most. If V falls at the end of the interval, V > I there, the maximum
        lies inside, where V = I > 0, and from there V decays at most by e^{-s/tau_mem}: if it reached the level, V grow
        is above it at the end, with grow = e^{s/tau_mem}. If V still rises, its value at the end is the highest.
        """
        e_mem, e_syn, phi_s = interval[E_MEM], interval[E_SYN], interval[PHI]
        grow = (1.0 + ROUNDING) / e_mem if e_mem > 0.0 else inf
        any_hot = False
        for n in range(TILE):
            v, i = x[V + n] * e_mem + x[I + n] * phi_s, x[I + n] * e_syn
            x[V_next + n] = v
            x[I_next + n] = i + weight[n]
            reached = v * (grow if i < v else 1.0 + ROUNDING) > x[LEVEL + n]
            hot[n] = reached
            any_hot |= reached
        return any_hot

    @kernel
    def pass_adaptive(x, weight, hot, interval):
        """As pass_plain, with adaptation: V - a may have reached the level.

        At such an instant V >= L = level + min(a, a_next); from there V decays at most by e^{-s/tau_mem} (not at all
        below 0), and a negative current pulls it down by at most -I cap, cap >= phi.
        """
        e_mem, e_syn, phi_s, e_adapt = interval[E_MEM], interval[E_SYN], interval[PHI], interval[E_ADAPT]
        cap = interval[CAP]
        any_hot = False
        for n in range(TILE):
            v, i, a_before = x[V + n], x[I + n], x[a + n]
            v_after, a_after = v * e_mem + i * phi_s, a_before * e_adapt
            x[V_next + n] = v_after
            x[I_next + n] = i * e_syn + weight[n]
            x[a_next + n] = a_after
            L = x[LEVEL + n] + (a_after if a_after < a_before else a_before)
            decayed = L * e_mem if L > 0.0 else L
            pull = -i * cap if i < 0.0 else 0.0
            reached = v_after + pull + ROUNDING * (abs(v) + abs(i) * cap + abs(a_before)) >= decayed
            hot[n] = reached
            any_hot |= reached
        return any_hot

    @kernel
    def pass_own(s, x, weight, hot, factors):
        """As pass_adaptive, for neurons with time constants of their own; factors: `tile.own_flow` of s."""
        any_hot = False
        for n in range(TILE):
            v, i, a_before = x[V + n], x[I + n], x[a + n]
            e_mem, cap = factors[OWN_MEM + n], min(s * factors[RATE_MEM + n], factors[PHI_MAX + n])
            v_after, a_after = v * e_mem + i * factors[OWN_PHI + n], a_before * factors[OWN_ADAPT + n]
            x[V_next + n] = v_after
            x[I_next + n] = i * factors[OWN_SYN + n] + weight[n]
            x[a_next + n] = a_after
            L = x[LEVEL + n] + (a_after if a_after < a_before else a_before)
            decayed = L * e_mem if L > 0.0 else L
            pull = -i * cap if i < 0.0 else 0.0
            reached = v_after + pull + ROUNDING * (abs(v) + abs(i) * cap + abs(a_before)) >= decayed
            hot[n] = reached
            any_hot |= reached
        return any_hot

    return pass_plain, pass_adaptive, pass_own


plain_A_to_B, adaptive_A_to_B, own_A_to_B = _passes(STATE_A, STATE_B)
plain_B_to_A, adaptive_B_to_A, own_B_to_A = _passes(STATE_B, STATE_A)


@kernel
def set_interval(s, neuron, adaptive, phi_max, row):
    """What neurons alike share of an interval of length s; row (NUM_SHARED,)."""
    row[E_MEM], row[E_SYN], row[PHI] = flow(s, neuron[TAU_MEM], neuron[TAU_SYN])
    row[E_ADAPT] = exp(-s / neuron[TAU_ADAPT]) if adaptive else 1.0
    row[CAP] = min(s / neuron[TAU_MEM], phi_max)


@kernel
def one_pass(k, s, x, weight, hot, interval, factors, adaptive, alike):
    """The pass that fits, over interval k of length s; the state is at A before even k."""
    if not alike:
        factors[LENGTH : LENGTH + TILE] = s
        own_flow(factors, factors.view(np.int64), adaptive)
        if k % 2 == 0:
            return own_A_to_B(s, x, weight, hot, factors)
        return own_B_to_A(s, x, weight, hot, factors)
    if adaptive:
        if k % 2 == 0:
            return adaptive_A_to_B(x, weight, hot, interval)
        return adaptive_B_to_A(x, weight, hot, interval)
    if k % 2 == 0:
        return plain_A_to_B(x, weight, hot, interval)
    return plain_B_to_A(x, weight, hot, interval)


# The adjoint of a tile, p_V and p_I; its derivatives with respect to tau_mem and tau_syn, as far as they are not 0.
ADJOINT_V, ADJOINT_I, V_BY_MEM, I_BY_MEM, I_BY_SYN, ADJOINT_SIZE = (TILE * row for row in range(6))


@kernel
def carry(p, e_mem, e_syn, phi_s, grad, column):
    """The adjoint of all neurons back over an interval; grad[column:] += p_I = dL/dw of an arrival."""
    for n in range(TILE):
        p_V, p_I = p[ADJOINT_V + n], p[ADJOINT_I + n]
        p_I = p_I * e_syn + p_V * phi_s
        p[ADJOINT_V + n] = p_V * e_mem
        p[ADJOINT_I + n] = p_I
        grad[column + n] += p_I


@kernel
def carry_own(s, p, factors, grad, column):
    """As carry, over an interval of length s with time constants of each neuron's own; and the derivatives of p."""
    for n in range(TILE):
        e_mem, e_syn, phi_s = factors[OWN_MEM + n], factors[OWN_SYN + n], factors[OWN_PHI + n]
        rate_mem, rate_syn = factors[RATE_MEM + n], factors[RATE_SYN + n]
        p_V, p_I, V_by_mem = p[ADJOINT_V + n], p[ADJOINT_I + n], p[V_BY_MEM + n]
        p[I_BY_MEM + n] = p[I_BY_MEM + n] * e_syn + V_by_mem * phi_s + p_V * factors[OWN_PHI_MEM + n]
        p[I_BY_SYN + n] = (p[I_BY_SYN + n] + p_I * s * rate_syn * rate_syn) * e_syn + p_V * factors[OWN_PHI_SYN + n]
        p[V_BY_MEM + n] = (V_by_mem + p_V * s * rate_mem * rate_mem) * e_mem
        p[ADJOINT_V + n] = p_V * e_mem
        p_I = p_I * e_syn + p_V * phi_s
        p[ADJOINT_I + n] = p_I
        grad[column + n] += p_I


@kernel
def add_taus(p, weights, column, grad_taus):
    """grad_taus (2 TILE,) += dL/dtau_mem and dL/dtau_syn, each w times the derivative of p_I at an arrival."""
    for n in range(TILE):
        grad_taus[n] += weights[column + n] * p[I_BY_MEM + n]
        grad_taus[TILE + n] += weights[column + n] * p[I_BY_SYN + n]


@kernel
def set_adjoint(n, s, p_V, p_I, tau_mem, tau_syn, with_taus, p):
    """The adjoint of neuron n where it is (p_V, p_I) a time s later."""
    e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
    p[ADJOINT_V + n], p[ADJOINT_I + n] = p_V * e_mem, p_I * e_syn + p_V * phi_s
    if with_taus:
        _, phi_mem, phi_syn = phi_gradient(s, tau_mem, tau_syn)
        p[V_BY_MEM + n], p[I_BY_MEM + n] = p_V * e_mem * s / (tau_mem * tau_mem), p_V * phi_mem
        p[I_BY_SYN + n] = p_V * phi_syn + p_I * e_syn * s / (tau_syn * tau_syn)


@sum_kernel
def time_gradient(p, weights, column, factors):
    """dL/dt of an arrival at all neurons: sum_n w_n (p_I/tau_syn - p_V/tau_mem)."""
    total = 0.0
    for n in range(TILE):
        flow_n = p[ADJOINT_I + n] * factors[RATE_SYN + n] - p[ADJOINT_V + n] * factors[RATE_MEM + n]
        total += weights[column + n] * flow_n
    return total
