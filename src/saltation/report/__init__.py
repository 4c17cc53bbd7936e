"""What a run did: a page to open in a browser (`report`)."""

from saltation.report.page import report

__all__ = ["report"]
