"""What leaky integrators with input on a grid are read out with: closed forms, as in `saltation.Readout`."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Functional:
    """Of the membrane potential: integral, weighted (by e^{-t/tau}) or maximum, as `saltation.Readout` has them; or
    spikes, the raster of a last layer that spikes.
    """

    name: str
    tau: float = math.inf

    def worth(self, times: np.ndarray, duration: float, tau_mem: float, tau_syn: float) -> np.ndarray:
        """(T,): what an arrival of weight 1 at these times adds to the integral.

        int_t^duration e^{-u/tau} phi(u - t) du, phi(s) = (e^{-s/tau_syn} - e^{-s/tau_mem}) / (1 - tau_mem/tau_syn).
        """
        left, rate = np.maximum(duration - times, 0.0), 1.0 / self.tau

        def moment(r: float) -> np.ndarray:
            """int_0^left e^{-r s} ds"""
            return -np.expm1(-r * left) / r

        slow, fast = 1.0 / tau_mem + rate, 1.0 / tau_syn + rate
        if math.isclose(tau_mem, tau_syn, rel_tol=1e-6):
            value = (moment(slow) - left * np.exp(-slow * left)) / slow / tau_mem
        else:
            value = (moment(fast) - moment(slow)) / (1.0 - tau_mem / tau_syn)
        return np.exp(-times * rate) * value
