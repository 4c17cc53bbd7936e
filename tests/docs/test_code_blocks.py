"""What the documentation shows is run: Python block by block, recipes for an epoch; commands are understood."""

import importlib.util
import re
import shlex
import warnings

import pytest
from docs.pages import PAGES, ROOT, blocks, commands, name

from saltation.cli import _parser
from saltation.train import load_config, train
from saltation.train.recipes import parse_overrides, recipe_names

WITH_CODE = [page for page in PAGES if blocks(page, "python")]
RECIPES = [(name(page), k, text) for page in PAGES for k, text in enumerate(blocks(page, "yaml"))]
COMMANDS = sorted({(name(page), command) for page in PAGES for command in commands(page)})
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_python(page, tmp_path, monkeypatch):
    """The blocks of a page follow each other in one program."""
    if name(page).endswith("nir.md"):
        pytest.importorskip("nir")
    monkeypatch.chdir(tmp_path)
    program = {"__name__": name(page)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for k, text in enumerate(blocks(page, "python")):
            exec(compile(text, f"{name(page)}, block {k}", "exec"), program)


@pytest.mark.parametrize(("page", "k", "text"), RECIPES)
def test_recipes(page, k, text, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    sizes = {"data.options": {"publication": False, "sizes": [40, 20, 20]}, "train.epochs": 1, "train.batch_size": 20}
    assert train(load_config(file, sizes), tmp_path / "run", quiet=True)["epochs"] == 1


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands(page, command):
    """Of saltation its own parser understands them; scripts, modules and targets exist."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        assert set(arguments) <= set(TARGETS)
    elif program == "python" and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    elif program == "python":
        assert (ROOT / arguments[0]).is_file()
    else:
        options, rest = _parser().parse_known_args(arguments)
        if options.command in ("train", "tune"):
            parse_overrides(rest)
            recipe = options.recipe or "yin_yang"
            assert recipe in recipe_names() or recipe.isupper() or recipe.endswith(".yaml")
        else:
            assert not rest


def test_there_is_something_to_run():
    assert len(WITH_CODE) >= 8 and len(RECIPES) >= 7 and len(COMMANDS) >= 30
