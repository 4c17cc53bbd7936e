"""Examples in docstrings are right, and those of examples/ run."""

import doctest
import importlib
import pkgutil
import runpy

import pytest
from docs.pages import ROOT

import saltation

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(saltation.__path__, "saltation.")
    if not module.name.startswith(("saltation.kernels.", "saltation.__main__"))
    and ">>> "
    in (ROOT / "src" / (module.name.replace(".", "/") + ("/__init__.py" if module.ispkg else ".py"))).read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0 and result.attempted > 0


def test_there_are_examples():
    assert len(MODULES) >= 8


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.py")), ids=lambda file: file.name)
def test_examples(file, capsys):
    """They end with an accuracy, and have learnt something."""
    runpy.run_path(str(file), run_name="__main__")
    assert float(capsys.readouterr().out.split()[-1]) > 0.9
