"""What runs did: a page about one to open in a browser (`report`), several side by side (`compare`)."""

from saltation.extras import need

need("cli", "saltation.report")
need("plots", "saltation.report")

from saltation.report.compare import compare
from saltation.report.page import report

__all__ = ["compare", "report"]
