"""How `make docs` builds the site: Sphinx, MyST for Markdown, Furo for looks, Sphinx-Gallery for the tutorials."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import saltation  # noqa: E402

project = "saltation"
author = "the authors of saltation"
copyright = "the authors of saltation, Apache-2.0"
version = release = saltation.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "plain_docstrings",
]
exclude_patterns = ["_build", "tutorials"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # a name in backticks is a link where there is something to link to, else just code
    ("py:class", r"(torch|numpy|matplotlib|collections|pathlib|os|nir|rich)\..*"),  # their sites would need a network
    ("py:class", r"saltation\.(kernels|patches|settings|trace|check|ops|train|data\.store)\..*"),  # not public
    ("py:class", r"source|in_shape|(qif|nonleaky)\.Population"),  # attributes described together; types of kernels
]
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = f"saltation {release}"
html_static_path: list[str] = []
html_copy_source = False
highlight_language = "none"  # indented blocks are commands and formulas; code says its language
myst_heading_anchors = 3

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("figures",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
}

# Pages of the site that are written elsewhere: a link to the file, which works in a checkout, is one to its page here.
INCLUDED = {
    "src/saltation/kernels/README.md": "/derivation.md",
    "benchmarks/README.md": "/speed.md",
    "src/saltation/experiments/grid/README.md": "/grid.md",
    "CONTRIBUTING.md": "/contributing.md",
    "CHANGELOG.md": "/changelog.md",
}


def prepare(_app: object, page: str, content: list[str]) -> None:
    """Point links at the pages of the site; leave out patterns of pages that are not there yet."""
    for file, target in INCLUDED.items():
        content[0] = re.sub(rf"\]\((?:\.\./)+{re.escape(file)}", f"]({target}", content[0])
    if page == "index":
        lines = content[0].split("\n")
        content[0] = "\n".join(line for line in lines if not line.endswith("*") or list(HERE.glob(f"{line}.md")))


def setup(app) -> None:  # type: ignore[no-untyped-def]
    """Called by Sphinx."""
    app.connect("source-read", prepare)
