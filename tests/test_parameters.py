"""Parameters of a network as arrays."""

import numpy as np
import torch

import saltation as sal
from saltation.parameters import parameters


def network():
    """Five terminals, a pool, feedback, and thresholds that are trained."""
    terminals = sal.Parallel(*(sal.Linear(3, 4, delay="axonal", min_delay=0.5, max_delay=2.5) for _ in range(5)))
    sal.init.normal_(terminals, 0.0, 1.0, torch.Generator().manual_seed(0))
    neurons = sal.LIF(4, tau_mem=2.0, tau_syn=1.0, threshold=torch.tensor([1.0, 2.0, 3.0, 4.0]), train=("threshold",))
    hidden = sal.Layer(terminals, neurons, recurrent=sal.Linear(4, 4))
    pool = sal.SumPool2d((1, 2, 2), 2)
    return sal.Sequential(hidden, pool, sal.Layer(sal.Linear(1, 2), sal.LI(2, tau_mem=2.0, tau_syn=1.0)))


def test_places_and_kinds():
    model = network()
    found = parameters(model)
    assert list(found) == ["layer 0", "layer 0, recurrent", "layer 1"]  # as in recipes: a pool has no number
    assert [place.weights.size for place in found.values()] == [60, 16, 2]
    assert [list(place.neurons) for place in found.values()] == [["threshold"], [], []]
    assert found["layer 0"].neurons["threshold"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert np.array_equal(found["layer 1"].weights, model[2].connection.weight.detach().flatten())
    assert found["layer 0, recurrent"].delays is None and found["layer 1"].delays is None


def test_of_another_state_the_network_is_left_as_it_is():
    model = network()
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    model[0].connection.connections[4].set_delays(1.5)
    before, after = (parameters(model, state)["layer 0"].delays.values for state in (initial, None))
    assert before.tolist() == [0.5] * 15 and after.tolist() == [0.5] * 12 + [1.5] * 3
    assert bool((model[0].connection.connections[4].delays() == 1.5).all())


def test_delays_at_their_bounds():
    """Legal are 0.5 to 2.5: a delay below 0.52 or above 2.48 is at a bound."""
    model = network()
    first, second, *_ = model[0].connection.connections
    first.set_delays(torch.tensor([[2.5, 2.481, 2.479]]))
    second.set_delays(torch.tensor([[0.519, 0.521, 1.0]]))
    delays = parameters(model)["layer 0"].delays
    assert (delays.low, delays.high) == (0.5, 2.5)
    assert delays.at_high == 2 / 15 and delays.at_low == (1 + 9) / 15


def test_bounds_are_those_of_each_part():
    """A delay of 1 is the largest of one connection, and lies in the middle of another."""
    parts = [sal.Linear(2, 3, delay="axonal", max_delay=high) for high in (1.0, 2.0)]
    for part in parts:
        part.set_delays(1.0)
    model = sal.Sequential(sal.Layer(sal.Beside(*parts), sal.LIF(3, 2.0, 1.0)))
    delays = parameters(model)["layer 0"].delays
    assert (delays.low, delays.high, delays.at_low, delays.at_high) == (0.0, 2.0, 0.0, 0.5)
