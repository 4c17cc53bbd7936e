"""Plain-Python twin of nonleaky.py: V as a sum over all arrivals, and derivatives by complex steps.

Nothing is carried from event to event: between two events e^{-t/tau} solves V = threshold, a linear equation in it
(Mostafa 2017). The imaginary part of a spike time after a parameter has moved by i h is its derivative times h, exact
to rounding. Shares no code with the kernels.
"""

import cmath
import math

import numpy as np

STEP = 1e-30


def potential(t, arrivals, release, V_release, tau):
    """V at t, released at `release` from V_release; arrivals [(time, weight)] before t."""
    V = V_release
    for time, weight in arrivals:
        seen = release if time.real < release.real else time
        V += weight * (cmath.exp(-(seen - time) / tau) - cmath.exp(-(t - time) / tau))
    return V


def one_neuron(arrivals, tau, threshold, v_reset, refractory, duration):
    """Complex spike times (a list), and the highest V - threshold since the last spike; arrivals [(time, weight)]."""
    arrivals = sorted((x for x in arrivals if x[0].real < duration), key=lambda x: x[0].real)
    spikes, release, V_release, peak = [], 0j, 0j, -threshold
    ends = [*(time for time, _ in arrivals), complex(duration)]
    k = 0
    while k < len(ends):
        begin = ends[k - 1] if k > 0 else 0j
        begin = release if release.real > begin.real else begin
        if begin.real >= ends[k].real:
            k += 1
            continue
        known = arrivals[:k]
        # V = level - I(0) x with x = e^{-t/tau}, if time is counted from `begin`
        strength = sum(w * cmath.exp((time - begin) / tau) for time, w in known)
        rest = threshold - potential(begin, known, release, V_release, tau)
        x = 1 - rest / strength if strength != 0 else -1
        T = begin - tau * cmath.log(x) if strength.real > 0 and x.real > 0 else None
        if T is not None and T.real <= ends[k].real:
            spikes.append(T)
            release, V_release, peak = T + refractory, v_reset, v_reset - threshold
            if math.isinf(complex(refractory).real):
                break
            continue
        height = potential(ends[k], known, release, V_release, tau) - threshold
        peak = height if height.real > complex(peak).real else peak
        k += 1
    return spikes, peak


def layer(events, weight, delay, neurons, duration):
    """Spikes [sample][neuron] of neurons with all inputs, and peaks (samples, neurons).

    events [sample][(time, unit)]; weight, delay (N, M) and neurons (N, 4): tau, threshold, v_reset, refractory; all may
    be complex.
    """
    spikes, peaks = [], np.zeros((len(events), len(weight)), complex)
    for b, sample in enumerate(events):
        spikes.append([])
        for j in range(len(weight)):
            arrivals = [(complex(time + delay[j][i]), weight[j][i]) for time, i in sample]
            times, peaks[b, j] = one_neuron(arrivals, *neurons[j], duration)
            spikes[-1].append(times)
    return spikes, peaks
