"""The claims, tested: `saltation experiment NAME|all` runs them and makes all tables and figures of docs/results.md.

An experiment is a module that is named in `registry.EXPERIMENTS` and has

    cases(size)         its configurations, a list of `Case`; size: "full", "quick" (minutes) or "tiny" (for tests)
    run(settings, seed) what one configuration gives with one seed: a dict that JSON can hold. Pure: it depends on its
                        arguments alone (and on the data), leaves no files, draws from no global generator
    TABLES              {name: function from rows to a `Table`}
    PICTURES            {name: a `Picture`, which draws rows on Axes}

What `run` returns is kept as a file of its own for each case and seed (`store`), so that a run that was stopped goes on
where it was; tables and figures are made of these files alone, whichever are there. A `Row` is one of them. `arms`
trains a network by any of the gradients that are compared; `statistics` has the paired tests. See docs/experiments.md
"""

from saltation.extras import need

for extra in ("experiments", "cli", "plots"):
    need(extra, "saltation experiment")

from saltation.experiments.command import experiment

__all__ = ["experiment"]
