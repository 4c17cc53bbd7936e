"""Runs side by side."""

import json
import re
import shutil

import pytest

from saltation.cli import main
from saltation.report import compare
from saltation.report.compare import differences
from saltation.report.facts import read_record


@pytest.fixture
def others(finished, tmp_path):
    """The same run with another seed and rate, unfinished after one epoch; and as an earlier version left it."""
    folders = [tmp_path / "seed three", tmp_path / "old"]
    for folder in folders:
        shutil.copytree(finished, folder)
    text = (folders[0] / "config.yaml").read_text()
    (folders[0] / "config.yaml").write_text(text.replace("\nseed: 0\n", "\nseed: 3\n").replace("root: null", "root: x"))
    (folders[0] / "result.json").unlink()
    (folders[0] / "metrics.jsonl").write_text((folders[0] / "metrics.jsonl").read_text().split("\n")[0] + "\n")
    (folders[1] / "config.yaml").write_text(text.replace("\ntrain:\n", "\ntrain:\n  magic: true\n"))
    (folders[1] / "metrics.jsonl").write_text('{"epoch": 1, "loss": 0.5}\n')
    (folders[1] / "result.json").unlink()
    return folders


def rows(table):
    return list(zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True))


def test_table(finished, others, tmp_path):
    table = compare([finished, *others], tmp_path / "compare.png")
    whole, seed, old = rows(table)
    result = json.loads((finished / "result.json").read_text())
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    best = lines[result["best_epoch"] - 1]
    share = result["test_accuracy"]
    assert whole[0].split("\n") == ["run", "seed 0", "train.magic None"]
    assert seed[0].split("\n") == ["seed three", "seed 3", "train.magic None"]
    assert old[0].split("\n") == ["old", "seed 0", "train.magic True"]
    assert whole[1:3] == ("2", str(result["best_epoch"]))
    assert float(whole[3]) == pytest.approx(100 * best["validation_accuracy"], abs=0.01)
    error = 100 * (share * (1 - share) / 30) ** 0.5
    assert whole[4] == f"{100 * share:.2f}±{error:.2f}" and whole[5] == str(result["parameters"])
    assert float(whole[6]) == pytest.approx(best["spikes_per_neuron"], rel=1e-3)
    assert float(whole[8]) == pytest.approx(result["seconds"], rel=1e-3)
    assert seed[1:3] == ("1", "1") and seed[4:6] == ("–", "–")
    assert float(seed[8]) == pytest.approx(lines[0]["seconds"], rel=1e-3)
    assert old[1:] == ("1", "1", "–", "–", "–", "–", "–", "–")
    assert (tmp_path / "compare.png").stat().st_size > 20_000


def test_paths_and_names_are_no_differences(finished, others):
    found = differences([read_record(run) for run in (finished, others[0])])
    assert found == [{"seed": 0}, {"seed": 3}]


def test_folders_of_one_name(finished, others, tmp_path):
    twin = tmp_path / "twin" / "old"
    shutil.copytree(others[1], twin)
    assert [row[0] for row in rows(compare([others[1], twin], tmp_path / "compare.png"))] == ["old", "twin/old"]


def test_many_settings_and_names_that_steer_a_terminal(finished, tmp_path, capsys):
    for name, rate in (("[bold]a\x1b[31m", 0.125), ("b", 0.25)):
        shutil.copytree(finished, tmp_path / name)
        text = (tmp_path / name / "config.yaml").read_text()
        (tmp_path / name / "config.yaml").write_text(re.sub(r": (0\.\d+)$", f": {rate}", text, flags=re.M))
    runs = [str(tmp_path / "b"), str(tmp_path / "[bold]a\x1b[31m")]
    assert main(["compare", *runs, "--out", str(tmp_path / "compare.png")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[bold]a" in out and re.search(r"and \d+", out)


def test_refusals(finished, tmp_path, capsys):
    for runs, message in (
        ([finished], "give two runs or more to compare"),
        ([finished, finished / ".." / finished.name], "is given twice"),
        ([finished, tmp_path], "no run at"),
    ):
        assert main(["compare", *map(str, runs), "--out", str(tmp_path / "compare.png")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "compare.png").exists()
