"""The ledger of docs/status.md: every claim has a test, and every test that it names is there."""

import ast
import re
from functools import cache

import pytest
from docs.pages import ROOT

TEXT = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))
SECTIONS = dict(part.split("\n", 1) for part in TEXT.split("\n## ")[1:])


@cache
def functions(file):
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def rows(text):
    """The rows of a table, below its head."""
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(("file", "function"), NAMED)
def test_named_tests_exist(file, function):
    assert function in functions(file)


@pytest.mark.parametrize("section", ["Supported", "Refused, with a message that says why"])
def test_every_claim_has_a_test(section):
    claims = rows(SECTIONS[section])
    assert len(claims) >= 12
    for row in claims:
        claim, proof = row.strip("| ").split(" | ")
        assert re.fullmatch(r"`[\w/]+\.py::test_\w+`(, `[\w/]+\.py::test_\w+`)*", proof), claim


def test_files_of_the_promises_exist():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text.split("## The laws")[0]
    files = {part for row in rows(table) for part in re.findall(r"`([\w/]+(?:\.py|/))`", row.split(" | ")[1])}
    assert len(files) >= 15
    assert [file for file in sorted(files) if not (ROOT / "tests" / file).exists()] == []
