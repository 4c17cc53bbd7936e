"""The first crossing of the threshold, and the highest point below it (README.md, section 2).

g(x) = V(x) - a(x) - threshold along the free flow from the state (V, I, a). Its slope g' has at most two zeros, since
u(x) = e^{x/tau_mem} g'(x) is a constant plus two exponentials and u' has at most one zero, known in closed form. So u
is monotone on at most two pieces, g' changes its sign at most once on each, and no crossing can hide between them.
"""

from math import exp, inf, log, log1p

from .flow import flow, h_series, short_flow
from .jit import embedded, inlined, kernel
from .layout import GHOST_REACH

# Bisection alone needs about 60 steps from any bracket to the last bit; Newton usually takes five.
MAX_STEPS = 200
EPS = 2.220446049250313e-16
# What a bound concedes to floating point, relative to the size of its terms: thousands of roundings.
ROUNDING = 1e-12
# exp(-708) is the smallest normal float64; the state itself may be large or small.
REACH = 500.0
# After a step of Halley's method with this relative change the next one would be below the last bit: the error is the
# change cubed.
SURE = 1e-5


@kernel
def margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """g, g' and g'' at x."""
    e_mem, e_syn, phi_x = flow(x, tau_mem, tau_syn)
    I_x = I * e_syn
    V_x = V * e_mem + I * phi_x
    a_x = 0.0
    if a != 0.0:
        a_x = a * exp(-x / tau_adapt)
    V_slope = (I_x - V_x) / tau_mem
    g = V_x - a_x - threshold
    g_slope = V_slope + a_x / tau_adapt
    g_curvature = -(I_x / tau_syn + V_slope) / tau_mem - a_x / (tau_adapt * tau_adapt)
    return g, g_slope, g_curvature


@kernel
def largest_phi(tau_mem, tau_syn):
    """max of phi: phi' = 0 where phi(x) = e^{-x/tau_syn}, at x = log(tau_syn/tau_mem)/(1/tau_mem - 1/tau_syn)."""
    excess = tau_syn / tau_mem - 1.0
    lead = 1.0 if excess == 0.0 else log1p(excess) / excess
    return exp(-lead)


@kernel
def reaches(V, I, a, level, keep, cap, e_adapt):
    """Whether V - a may reach `level` within an interval of length s: False is rigorous, and cheap.

    keep = max(1 - s/tau_mem, 0) <= e^{-x/tau_mem} and cap = min(s/tau_mem, max phi) >= phi(x) on [0, s]. From
    V(x) = V e^{-x/tau_mem} + I phi(x) and phi(x) <= 1 - e^{-x/tau_mem}:
    V(x) <= V + max(I - V, 0) cap for V >= 0,  V(x) <= V keep + max(I, 0) cap for V < 0;
    a(x) >= min(a, a e^{-s/tau_adapt}). A margin of thousands of roundings keeps this safe in floating point.
    """
    positive = V if V > 0.0 else 0.0
    rise = I - positive
    rise = rise * cap if rise > 0.0 else 0.0
    start = V if V > 0.0 else V * keep
    later = a * e_adapt
    lowest = later if later < a else a
    return start + rise - lowest + ROUNDING * (abs(V) + rise + abs(a)) >= level


@kernel
def cannot_cross(s, V, I, a, tau_mem, tau_adapt, phi_max, level):
    """True where V - a stays below `level` on [0, s] by the bound of `reaches`; phi_max = largest_phi(...)."""
    x = s / tau_mem
    e_adapt = exp(-s / tau_adapt) if a > 0.0 else 1.0
    safe = level - ROUNDING * abs(level)
    return not reaches(V, I, a, safe, max(1.0 - x, 0.0), min(x, phi_max), e_adapt)


@inlined
def ghost_reach(threshold, smoothing):
    """How far below 0 a maximum of V - theta still is a ghost."""
    return GHOST_REACH * smoothing * abs(threshold)


@kernel
def watched(threshold, peak, spiking, want_peak, smoothing):
    """The level that V - a must not reach unnoticed: `threshold`, as far below it as there may be ghosts, or that of
    the peak so far. Where V was held above theta the peak is above 0, and the next spike still at the threshold.
    """
    if not want_peak:
        return threshold - ghost_reach(threshold, smoothing)
    return threshold + (min(peak, 0.0) if spiking else peak)


@kernel
def horizon(s, I, a, tau_mem, tau_syn, tau_adapt):
    """s, or where the state has decayed by e^{-REACH}, if that is earlier: beyond it g is -threshold to the last bit,
    and the signs of what is left would drown in underflow.
    """
    slowest = tau_mem
    if I != 0.0:
        slowest = max(slowest, tau_syn)
    if a != 0.0:
        slowest = max(slowest, tau_adapt)
    return min(s, REACH * slowest)


@kernel
def split(s, V, I, a, tau_mem, tau_syn, tau_adapt):
    """Where u turns in (0, s), or s where it is monotone: the one zero of u'."""
    if a == 0.0 or I == 0.0 or tau_adapt in (tau_mem, tau_syn):
        return s
    ratio = I * tau_adapt * tau_adapt / (tau_syn * a * (tau_adapt - tau_mem))
    if not ratio > 0.0:
        return s
    x = log(ratio) / (1.0 / tau_syn - 1.0 / tau_adapt)
    if 0.0 < x < s:
        return x
    return s


@kernel
def root(order, x, lower, upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """A zero inside [lower, upper] of g (order 0, g <= 0 at lower, > 0 at upper) or of -g' (order 1, likewise).

    Newton's method from x, kept inside a shrinking bracket by bisection; for g Halley's, whose next error is known.
    """
    fastest = min(tau_mem, tau_syn)
    if a != 0.0:
        fastest = min(fastest, tau_adapt)
    # Below this a value cannot be told from zero: what the rounding of its terms may leave.
    noise = 2.0 * EPS * (abs(V) + abs(I) + abs(a) + abs(threshold))
    if order == 1:
        noise = 2.0 * EPS * ((abs(V) + abs(I)) / tau_mem + abs(a) / tau_adapt)
    for step in range(MAX_STEPS):
        if not lower < x < upper:
            x = 0.5 * (lower + upper)
        g, g_slope, g_curvature = margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        value, slope = g, g_slope
        if order == 1:
            value, slope = -g_slope, -g_curvature
        if value > 0.0:
            upper = x
        else:
            lower = x
        width = upper - lower
        if width <= EPS * upper:
            break
        # A Newton step that leaves the bracket, or a flat slope, falls back to the middle at the top of the loop.
        # Every eighth step is a bisection, so that no bracket can shrink too slowly.
        target = lower - 1.0
        if slope > 0.0 and step % 8 != 7:
            step_length = value / slope
            bend = 0.0
            if order == 0:
                bend = 0.5 * g_curvature * step_length / slope
                if abs(bend) < 0.1:
                    step_length /= 1.0 - bend
            target = x - step_length
            # Halley's error is of the size of (bend^2 + (step/tau)^2) step: no need to evaluate g again to see it.
            left = max(abs(bend), abs(step_length) / fastest)
            error = abs(step_length)
            if order == 0 and left < 1e-3:
                error *= left * left
            if error <= 0.25 * EPS * abs(x) or abs(value) <= noise:
                x = target
                break
        x = target
    return min(max(x, lower), upper)


@kernel
def closed_form_top(s, V, I, tau_mem, tau_syn):
    """Where g without adaptation has its maximum on [0, s], if it rises at 0: u(x) = 0 in closed form,

    e^{delta x} = 1 + delta tau_syn (1 - V/I),  delta = 1/tau_mem - 1/tau_syn.
    """
    delta = 1.0 / tau_mem - 1.0 / tau_syn
    lead = tau_syn * (1.0 - V / I)
    if s * (1.0 + max(delta * lead, 0.0)) < lead:
        return s  # log(1 + z) >= z/(1 + z): the maximum comes later, no need to know when
    x = lead
    if delta != 0.0 and delta * lead > -1.0:
        x = log1p(delta * lead) / delta
    if 0.0 < x < s:
        return x
    return s


@kernel
def top(lower, upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """The maximum of g inside a piece where g' falls from positive to negative."""
    if a == 0.0:
        x = closed_form_top(upper, V, I, tau_mem, tau_syn)
        if lower < x < upper:
            return x
    return root(1, 0.5 * (lower + upper), lower, upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)


@kernel
def guess(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """Where the Taylor polynomial of g at 0 up to x^3 vanishes, from two Newton steps: free of exponentials."""
    V_1 = (I - V) / tau_mem
    V_2 = -(I / tau_syn + V_1) / tau_mem
    V_3 = (I / (tau_syn * tau_syn) - V_2) / tau_mem
    a_1 = -a / tau_adapt
    c_0 = V - a - threshold
    c_1 = V_1 - a_1
    c_2 = 0.5 * (V_2 + a_1 / tau_adapt)
    c_3 = (V_3 - a_1 / (tau_adapt * tau_adapt)) / 6.0
    for _ in range(2):
        slope = c_1 + x * (2.0 * c_2 + 3.0 * x * c_3)
        if not slope > 0.0:
            break
        x -= (c_0 + x * (c_1 + x * (c_2 + x * c_3))) / slope
    return x


@kernel
def first_crossing(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """The first x in [0, s] at which g > 0: 0 if g is positive already, -1 if it stays below."""
    s = horizon(s, I, a, tau_mem, tau_syn, tau_adapt)
    lower, g_lower, slope_lower = 0.0, V - a - threshold, (I - V) / tau_mem + a / tau_adapt
    if g_lower > 0.0:
        return 0.0
    if a == 0.0:
        if slope_lower <= 0.0:
            return -1.0  # without adaptation g rises at once or not at all above max(g(0), -threshold)
        end = closed_form_top(s, V, I, tau_mem, tau_syn)
        if end < s and I * exp(-end / tau_syn) < threshold - ROUNDING * (abs(V) + I + threshold):
            return -1.0  # at the maximum V = I
        g_end, _, _ = margin(end, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        if g_end > 0.0:
            start = guess(-g_lower / slope_lower, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            return root(0, start, 0.0, end, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        return -1.0
    cut = split(s, V, I, a, tau_mem, tau_syn, tau_adapt)
    for piece in range(2):
        upper = cut if piece == 0 else s
        g_upper, slope_upper, _ = margin(upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        end, g_end = upper, g_upper
        if slope_lower > 0.0 and slope_upper <= 0.0:
            end = top(lower, upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            g_end, _, _ = margin(end, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        if g_end > 0.0:
            # On this piece g rises through 0 exactly once.
            start = end
            if slope_lower > 0.0:
                start = lower - g_lower / slope_lower
                if piece == 0:
                    start = guess(start, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            return root(0, start, lower, end, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        if upper == s:
            break
        lower, g_lower, slope_lower = upper, g_upper, slope_upper
    return -1.0


@kernel
def highest(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """(x, g, g') at the maximum of g over [0, s]."""
    s = horizon(s, I, a, tau_mem, tau_syn, tau_adapt)
    cut = split(s, V, I, a, tau_mem, tau_syn, tau_adapt)
    lower, g, slope_lower = 0.0, V - a - threshold, (I - V) / tau_mem + a / tau_adapt
    best_x, best_g, best_slope = 0.0, g, slope_lower
    if best_slope > 0.0:
        best_g = -inf  # g rises from 0 on: the maximum is further right
    for piece in range(2):
        upper = cut if piece == 0 else s
        g, slope_upper, _ = margin(upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        if g > best_g:
            best_x, best_g, best_slope = upper, g, slope_upper
        if slope_lower > 0.0 and slope_upper <= 0.0:
            x = top(lower, upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            g, slope, _ = margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            if g > best_g:
                best_x, best_g, best_slope = x, g, 0.0  # smooth maximum: its slope is 0, not a rounding error
        if upper == s:
            break
        lower, slope_lower = upper, slope_upper
    return best_x, best_g, best_slope


@kernel
def inner_top(s, V, I, a, tau_mem, tau_syn, tau_adapt, threshold):
    """(x, g) at the one maximum of g inside an interval of length s; (-1, 0) if there is none."""
    s = horizon(s, I, a, tau_mem, tau_syn, tau_adapt)
    if a == 0.0:
        x = closed_form_top(s, V, I, tau_mem, tau_syn) if I > V else s
        if not 0.0 < x < s:
            return -1.0, 0.0
        return x, margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)[0]
    cut = split(s, V, I, a, tau_mem, tau_syn, tau_adapt)
    lower, slope_lower = 0.0, (I - V) / tau_mem + a / tau_adapt
    for piece in range(2):
        upper = cut if piece == 0 else s
        _, slope_upper, _ = margin(upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
        if slope_lower > 0.0 and slope_upper <= 0.0:
            x = top(lower, upper, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)
            if 0.0 < x < s:
                return x, margin(x, V, I, a, tau_mem, tau_syn, tau_adapt, threshold)[0]
        if upper == s:
            break
        lower, slope_lower = upper, slope_upper
    return -1.0, 0.0


@embedded
def short_crossing(s, V, I, rate_mem, rate_syn, threshold):
    """Where V without adaptation crosses the threshold, V(0) <= threshold < V(s), s so short that `short_flow` holds.

    Returns x, e^{-x/tau_mem} and e^{-x/tau_syn}; x = -1 where it is not sure of the last bits. Halley's method from the
    root of the Taylor polynomial: the two functions that `root` needs many branches for, without any.
    """
    V_1 = (I - V) * rate_mem
    if not V_1 > 0.0:
        return -1.0, 1.0, 1.0
    V_2 = -(I * rate_syn + V_1) * rate_mem
    V_3 = (I * rate_syn * rate_syn - V_2) * rate_mem
    inverse = 1.0 / V_1
    x = (threshold - V) * inverse
    x -= 0.5 * V_2 * inverse * x * x
    x -= (V - threshold + x * (V_1 + x * (0.5 * V_2 + x * V_3 * (1 / 6)))) / (V_1 + x * (V_2 + 0.5 * V_3 * x))
    for _ in range(3):
        if not 0.0 < x < s:
            break
        e_mem, e_syn, phi_x = short_flow(x * rate_mem, x * rate_syn)
        I_x, V_x = I * e_syn, V * e_mem + I * phi_x
        slope = (I_x - V_x) * rate_mem
        if not slope > 0.0:
            break
        bend, square = -0.5 * (V_x - threshold) * (I_x * rate_syn + slope) * rate_mem, slope * slope
        step = (V_x - threshold) * slope / (square - bend)
        x -= step
        if abs(bend) < SURE * square and abs(step) * max(rate_mem, rate_syn) < SURE:
            if not 0.0 < x < s:
                break
            p, q = step * rate_mem, step * rate_syn
            return x, e_mem * (1.0 + p * (1.0 + 0.5 * p)), e_syn * (1.0 + q * (1.0 + 0.5 * q))
    return -1.0, 1.0, 1.0


@kernel
def short_top(s, V, I, a, slopes, rates, threshold):
    """The maximum of g where g' falls from above to below 0, slopes, within s, so short that `short_flow` holds for all
    rates, 1/tau.

    Returns x, g, and I and a there; x = -1 where it is not sure of the last bits. As `short_crossing`, for the zero of
    g'.
    """
    rate_mem, rate_syn, rate_adapt = rates
    x = s * slopes[0] / (slopes[0] - slopes[1])
    for _ in range(3):
        if not 0.0 < x < s:
            break
        e_mem, e_syn, phi_x = short_flow(x * rate_mem, x * rate_syn)
        z = x * rate_adapt
        I_x, V_x, a_x = I * e_syn, V * e_mem + I * phi_x, a * (1.0 - z * h_series(z))
        V_1 = (I_x - V_x) * rate_mem
        V_2 = -(I_x * rate_syn + V_1) * rate_mem
        V_3 = (I_x * rate_syn * rate_syn - V_2) * rate_mem
        a_1 = -a_x * rate_adapt
        slope, curvature, third = V_1 - a_1, V_2 + a_1 * rate_adapt, V_3 - a_1 * rate_adapt * rate_adapt
        bend = 0.5 * slope * third
        if not (curvature < 0.0 and abs(bend) < 0.1 * curvature * curvature):
            break
        step = slope * curvature / (curvature * curvature - bend)
        x -= step
        if abs(step) * max(rate_mem, rate_syn, rate_adapt) < SURE:
            if not 0.0 < x < s:
                break
            q, r = step * rate_syn, step * rate_adapt
            g = V_x - a_x - threshold - step * (slope - step * (0.5 * curvature - step * third * (1 / 6)))
            return x, g, I_x * (1.0 + q * (1.0 + 0.5 * q)), a_x * (1.0 + r * (1.0 + 0.5 * r))
    return -1.0, 0.0, I, a
