"""One neuron from one input event to the next, through all that may happen between (README.md, section 2)."""

from math import exp, inf

from .crossing import cannot_cross, first_crossing, highest
from .flow import flow
from .jit import borrowing
from .layout import (
    ADAPTATION,
    BUDGET_EXCEEDED,
    BUFFER_FULL,
    CURRENT,
    DONE,
    FINISHED,
    FIRED,
    JUMP,
    REFRACTORY,
    RELEASE_CURRENT,
    TAU_ADAPT,
    TAU_MEM,
    TAU_SYN,
    THRESHOLD,
    TIME,
    V_RESET,
)


@borrowing
def advance(
    t, t_next, V, I, a, release, peak, peak_time, peak_slope, neuron, phi_max, subtract, spiking, want_peak,
    until_spike, rows, last_row, next_row, spikes, budget,
):  # fmt: skip
    """From the state (V, I, a) at t to that just before t_next.

    V is held until `release`; peak, peak_time and peak_slope are the highest V - theta so far; neuron (7,) the
    parameters, phi_max = crossing.largest_phi of them; until_spike: whether to stop at the state right after a spike.
    The neuron has spiked `spikes` times, the row of the last spike is rows[last_row]; new rows go
    to rows[next_row:]. Returns (status, V, I, a, release, peak, peak_time, peak_slope, spikes); status FINISHED:
    nothing more can happen to this neuron; FIRED: stopped after a spike.
    """
    tau_mem, tau_syn, tau_adapt = neuron[TAU_MEM], neuron[TAU_SYN], neuron[TAU_ADAPT]
    threshold, jump, v_reset, refractory = neuron[THRESHOLD], neuron[JUMP], neuron[V_RESET], neuron[REFRACTORY]
    status = DONE
    while True:
        if t < release:
            s = min(release, t_next) - t
            I *= exp(-s / tau_syn)
            a *= exp(-s / tau_adapt)
            if V - a - threshold > peak:  # while V is held, V - theta is monotone
                peak, peak_time, peak_slope = V - a - threshold, min(release, t_next), a / tau_adapt
            if release > t_next:
                break
            t = release
            rows[last_row, RELEASE_CURRENT] = I
        s = t_next - t
        x = -1.0
        if spiking and not cannot_cross(s, V, I, a, tau_mem, tau_adapt, phi_max, threshold):
            x = first_crossing(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        if x < 0.0:
            if want_peak and not cannot_cross(s, V, I, a, tau_mem, tau_adapt, phi_max, threshold + peak):
                x_top, g, slope = highest(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
                if x_top > 0.0 and g > peak:  # at 0 it is the end of the interval before, to the last bit or nearly
                    # at the end it is the very time of the event there, which t + s may miss by rounding
                    peak, peak_time, peak_slope = g, t_next if x_top == s else t + x_top, slope
            e_mem, e_syn, phi_s = flow(s, tau_mem, tau_syn)
            V = V * e_mem + I * phi_s
            I *= e_syn
            if a != 0.0:
                a *= exp(-s / tau_adapt)
            break
        if spikes == budget:
            status = BUDGET_EXCEEDED
            break
        if next_row == rows.shape[0]:
            status = BUFFER_FULL
            break
        forced = x == 0.0 and t == release  # else V = theta, to the last bits, and V - threshold = a
        t = min(t + x, t_next)
        I *= exp(-x / tau_syn)
        a *= exp(-x / tau_adapt)
        row = rows[next_row]
        row[TIME], row[CURRENT], row[ADAPTATION], row[RELEASE_CURRENT] = t, I, a, I
        last_row, next_row, spikes = next_row, next_row + 1, spikes + 1
        if refractory == inf and not want_peak:
            status = FINISHED
            break
        if subtract:
            V = V - threshold if forced else a
        else:
            V = v_reset
        a += jump
        release = t + refractory
        peak, peak_time = V - a - threshold, t
        peak_slope = a / tau_adapt
        if refractory == 0.0:
            peak_slope += (I - V) / tau_mem
        if until_spike:
            status = FIRED
            break
    return status, V, I, a, release, peak, peak_time, peak_slope, spikes
