"""The examples of docs/recipes.md are recipes that train."""

from pathlib import Path

import pytest

from saltation.train import load_config, train


def snippets():
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    return [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]


@pytest.mark.parametrize("text", snippets())
def test_recipes_of_the_documentation(text, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    sizes = {"data.options": {"publication": False, "sizes": [40, 20, 20]}, "train.epochs": 1, "train.batch_size": 20}
    assert train(load_config(file, sizes), tmp_path / "run", quiet=True)["epochs"] == 1
