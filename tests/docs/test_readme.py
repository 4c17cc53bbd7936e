"""README.md is short, what it says is on the pages too, and its network learns."""

import tomllib

import yaml
from docs.pages import ROOT, blocks

import saltation as sal

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 120


def test_figures_are_those_of_the_pages():
    """A row of a table stands in README.md as it stands on the page that has all of them."""
    page = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("accuracy.md", "speed.md")}
    rows = [line for line in TEXT.splitlines() if line.startswith(("| `", "| W"))]
    assert len(rows) >= 12
    for row in rows:
        assert row in page["speed.md" if row.startswith("| W") else "accuracy.md"].splitlines(), row


def test_its_network_learns():
    program = {}
    for text in blocks(README, "python"):
        exec(text, program)
    answers = sal.losses.first_spike_prediction(program["network"](program["spikes"]))
    assert (answers == program["labels"]).double().mean() > 0.9


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert sal.__version__ == version == citation["version"]
    assert citation["title"] and citation["authors"] and citation["license"] == "Apache-2.0"
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
