"""A model of on-chip memory traffic: words that are read or written for one sample, forwards and backwards.

For one layer of N neurons that E events reach (each at all N neurons), k state variables (V, I, and a with adapting
thresholds), S spikes of its own, T steps. A word is one number. What all ways share, parameters and their update, is
left out.

In events. Forwards, an event reads and writes the state of N neurons and reads N weights; a spike writes 4 words (time,
unit, current, adaptation). Backwards, an event reads and writes the adjoint state of N neurons, reads N weights (for
the error that goes to its time) and reads and writes N gradients; a spike reads its 4 words. A ghost costs as much as a
spike.

    N E ((2k + 1) + (2k + 3)) + 8 S

On a grid. Forwards, a step reads and writes the state of N neurons and writes V - theta; an event reads N weights,
reads and writes N inputs. Backwards, a step reads V - theta, reads and writes the adjoint state and writes the gradient
of the input; an event reads N of these, reads and writes N gradients. Where the events come from a layer of M neurons
before, the surrogate wants the error at every step: it reads M N weights and writes M words a step.

    T N (4k + 3) + 6 N E  [+ T (M N + M)]

What must be kept from one pass to the other is a part of it: 4 S words in events, T N on a grid.
"""


def words_in_events(neurons: int, events: float, spikes: float, state: int) -> float:
    """One layer, one sample; `spikes`: with ghosts."""
    return neurons * events * (4 * state + 4) + 8 * spikes


def words_on_grid(neurons: int, events: float, steps: int, state: int, before: int = 0) -> float:
    """One layer, one sample; before: how many neurons the layer before has, 0 for the first layer."""
    return steps * neurons * (4 * state + 3) + 6 * neurons * events + steps * (before * neurons + before)
