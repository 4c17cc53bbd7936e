"""The laws on many random networks: `python tests/properties/search.py --networks 20000 --seed 1` (about half an hour).

Shares the networks between the laws, every law with networks of its own, and prints for each law how many held and how
many were left out and why (`check.py`), the seed, the time, and how near the worst came to what is allowed (1); at the
end, which orders of work simulated them. A failure is shrunk and printed, and the search goes on with the next law.
--law TEXT runs only the laws that have the text in their name. `pytest tests/properties` is the short version.
"""

import argparse
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from hypothesis import HealthCheck, given, reject, seed, settings
from hypothesis import strategies as st
from properties.check import Skipped, holds
from properties.draw import networks
from properties.laws import LAWS, Law

from saltation.kernels import plans

SEEDS = 1000  # from one law to the next
QUIET = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck), "report_multiple_bugs": False}
ORDERS = {plan.name for plan in plans.PLANS}


@contextmanager
def counted_orders():
    """A Counter of the orders of work of all layers that are simulated meanwhile."""
    counts, choose = Counter(), plans.choose

    def counting(task):
        plan = choose(task)
        counts[plan.name] += 1
        return plan

    with patch.object(plans, "choose", counting):
        yield counts


def search(law: Law, number: int, first_seed: int) -> tuple[Counter, float]:
    """Try `number` networks that are not left out; returns the counts, and the worst in units of what is allowed.

    Raises AssertionError, with a small network, if the law does not hold.
    """
    counts, worst = Counter(), [0.0]

    @seed(first_seed)
    @settings(max_examples=number, **QUIET)
    @given(networks(**law.draws), st.integers(0, 2**20))
    def check(network, seed_of_law):
        try:
            off = holds(law, network, seed_of_law)
        except Skipped as reason:
            counts[f"left out: {reason}"] += 1
            reject()
        counts["held"] += 1
        worst[0] = max(worst[0], *off.values())

    check()
    return counts, worst[0]


def main() -> int:
    """Run all laws; returns how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20_000, help="in all, not counting those that are left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--law", default="", help="part of the names of the laws to run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    laws = {name: law for name, law in LAWS.items() if options.law in name}
    total, failed, began = Counter(), 0, time.perf_counter()
    with counted_orders() as orders:
        for k, (name, law) in enumerate(laws.items()):
            start, first_seed = time.perf_counter(), options.seed * SEEDS + k
            try:
                counts, worst = search(law, -(-options.networks // len(laws)), first_seed)
                total += counts
                found = f"{dict(counts)}, worst {worst:.2g}"
            except Exception as error:
                failed += 1
                found = f"FAILED: {type(error).__name__}: {error}"
            print(f"{name} (seed {first_seed}, {time.perf_counter() - start:.0f} s): {found}", flush=True)
    print(f"in all: {dict(total)}, {failed} laws failed, {time.perf_counter() - began:.0f} s")
    print(f"orders of work: {dict(orders)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
