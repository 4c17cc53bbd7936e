"""What must hold for every network: renaming, scaling, shifting or splitting it changes its answers in a known way, and
its gradients likewise.

The networks are random: all connections, kinds of delay, neurons and resets. Here a few of them, always the same;
`search.py` in this folder tries as many as one wants.
"""

from contextlib import suppress

import pytest
from hypothesis import given, reject, seed, settings
from hypothesis import strategies as st
from properties.check import Skipped, holds
from properties.draw import networks
from properties.laws import LAWS, Law
from properties.networks import answer
from properties.search import ORDERS, QUIET, counted_orders, search

from saltation import SpikeBudgetError

FEW = 20


@pytest.mark.parametrize("name", LAWS)
def test_law(name):
    counts, _ = search(LAWS[name], FEW, list(LAWS).index(name))
    assert counts["held"] >= FEW


def slightly_heavier(network, generator):
    """No law: all weights larger by a billionth."""
    values = {n: v * (1.0 + 1e-9) if n.endswith("weight") else v for n, v in network.values.items()}
    return [network.with_values(**{n.replace(".", "__"): v for n, v in values.items()})], lambda outputs: outputs[0]


def test_what_is_no_law_is_noticed():
    held, noticed = [], []

    @seed(0)
    @settings(max_examples=3 * FEW, **QUIET)
    @given(networks(models=("LIF",), recurrent=(False,)), st.integers(0, 2**20))
    def check(network, seed_of_law):
        try:
            holds(Law(slightly_heavier), network, seed_of_law)
            held.append(network)
        except Skipped:
            reject()
        except AssertionError:
            noticed.append(network)

    check()
    assert len(noticed) >= FEW // 2
    assert all(answer(network).outputs["spikes"].numel() == 0 for network in held)


def test_the_networks_reach_every_order_of_work():
    @seed(0)
    @settings(max_examples=10 * FEW, **QUIET)
    @given(networks())
    def check(network):
        with suppress(SpikeBudgetError):
            answer(network)

    with counted_orders() as orders:
        check()
    assert set(orders) == ORDERS
