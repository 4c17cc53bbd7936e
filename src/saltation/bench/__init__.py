"""Speed and memory, side by side with the packages in use today: `saltation bench`."""

from saltation.extras import need

need("plots", "saltation bench")

from saltation.bench.run import run

__all__ = ["run"]
