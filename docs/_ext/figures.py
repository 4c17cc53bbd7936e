"""Sphinx-Gallery shows the picture that a tutorial calls `figure`, whether pyplot knows of it or not."""

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_shown: list[Figure] = []  # kept, so that none has the identity of an earlier one


def scraper(_block: Any, variables: dict[str, Any], gallery: dict[str, Any]) -> str:
    """Save `figure` if the block has made a new one; returns the reStructuredText that shows it."""
    figure = variables["example_globals"].get("figure")
    if not isinstance(figure, Figure) or any(figure is other for other in _shown):
        return figure_rst([], gallery["src_dir"])
    _shown.append(figure)
    path = next(variables["image_path_iterator"])
    figure.savefig(path, dpi=100)
    return figure_rst([path], gallery["src_dir"])


def _get_sg_image_scraper() -> Any:
    """How Sphinx-Gallery asks a module for its scraper."""
    return scraper
