"""Distances between spike trains, with their gradients; linear in memory. `losses.py` has what they mean.

ours (E,), theirs (F,): times, train by train and sorted within each; train c owns those from start[c] to
start[c + 1] - 1, and from begin[c]. Filled: distance (trains,), and its derivatives with respect to the times.
"""

from math import exp

import numpy as np

from .jit import kernel


@kernel
def van_rossum(ours, start, theirs, begin, tau, distance, grad_ours, grad_theirs):
    """1/2 sum_ij s_i s_j e^{-|t_i - t_j|/tau} with s = 1 for ours and -1 for theirs.

    With P the sum of s_j e^{-(t - t_j)/tau} over earlier spikes, F likewise over later ones, and G the sum of s over
    those at the same time: distance = sum s_i P_i + sum G^2/2, dL/dt_i = s_i (F_i - P_i)/tau. At equal times, where it
    has a kink, the mean of both sides is taken.
    """
    for c in range(distance.size):
        i, j, t, P, total = start[c], begin[c], 0.0, 0.0, 0.0
        while i < start[c + 1] or j < begin[c + 1]:
            before = t
            t = min(ours[i] if i < start[c + 1] else np.inf, theirs[j] if j < begin[c + 1] else np.inf)
            P *= exp(-(t - before) / tau)
            G = 0.0
            while i < start[c + 1] and ours[i] == t:
                grad_ours[i] = -P / tau
                G += 1.0
                i += 1
            while j < begin[c + 1] and theirs[j] == t:
                grad_theirs[j] = P / tau
                G -= 1.0
                j += 1
            total += G * P + 0.5 * G * G
            P += G
        distance[c] = total
        i, j, F = start[c + 1] - 1, begin[c + 1] - 1, 0.0
        while i >= start[c] or j >= begin[c]:
            after = t
            t = max(ours[i] if i >= start[c] else -np.inf, theirs[j] if j >= begin[c] else -np.inf)
            F *= exp(-(after - t) / tau)
            G = 0.0
            while i >= start[c] and ours[i] == t:
                grad_ours[i] += F / tau
                G += 1.0
                i -= 1
            while j >= begin[c] and theirs[j] == t:
                grad_theirs[j] -= F / tau
                G -= 1.0
                j -= 1
            F += G


@kernel
def victor_purpura(ours, start, theirs, begin, q, distance, grad_ours, grad_theirs):
    """The least cost of turning one train into the other: 1 to add or remove a spike, q |dt| to move one.

    cost[i, j]: of the first i spikes of ours and the first j of theirs. The gradient is that along one cheapest way.
    """
    grad_ours[:], grad_theirs[:] = 0.0, 0.0
    for c in range(distance.size):
        a, b = ours[start[c] : start[c + 1]], theirs[begin[c] : begin[c + 1]]
        cost = np.empty((a.size + 1, b.size + 1))
        for i in range(a.size + 1):
            for j in range(b.size + 1):
                if i == 0 or j == 0:
                    cost[i, j] = i + j
                    continue
                change = min(cost[i - 1, j], cost[i, j - 1]) + 1.0
                cost[i, j] = min(change, cost[i - 1, j - 1] + q * abs(a[i - 1] - b[j - 1]))
        i, j = a.size, b.size
        distance[c] = cost[i, j]
        while i > 0 and j > 0:
            apart = a[i - 1] - b[j - 1]
            if cost[i, j] == cost[i - 1, j - 1] + q * abs(apart):
                i, j = i - 1, j - 1
                grad_ours[start[c] + i] = q * np.sign(apart)
                grad_theirs[begin[c] + j] = -q * np.sign(apart)
            elif cost[i, j] == cost[i - 1, j] + 1.0:
                i -= 1
            else:
                j -= 1
