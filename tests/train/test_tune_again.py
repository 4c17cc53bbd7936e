"""What a search may be continued with, and what is refused."""

import json
import shutil

import pytest

from saltation.cli import main
from saltation.experiments.tasks import YIN_YANG_NETWORK
from saltation.train import tune as module
from saltation.train.loop import Interrupted
from saltation.train.run import RunFolder
from saltation.train.tune import tune

TINY = {"data.options": {"sizes": [30, 12, 12]}, "train.epochs": 1, "train.batch_size": 15, "model.layers.0.size": 3}
SEARCH = ["train.lr.weight=log:1e-3:1e-1"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    tune(YIN_YANG_NETWORK, SEARCH, 1, folder, TINY, quiet=True)
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    """A search with one trial."""
    return shutil.copytree(begun, tmp_path / "search")


def records(folder):
    """All but that of opening the study, which Optuna repeats."""
    return [line for line in (folder / "journal.log").read_text().splitlines() if json.loads(line)["op_code"] != 0]


@pytest.mark.parametrize(
    ("search", "changes", "message"),
    [
        (["train.lr.weight=log:1e-3:2e-1"], {}, "was begun with --search"),
        (["train.lr.delay=log:1e-3:1e-1"], {}, "was begun with --search"),
        (SEARCH, {"train.epochs": 2}, "was begun with train.epochs 1, not 2; set it back or choose another --out"),
        (SEARCH, {"seed": 1}, "was begun with seed 0, not 1"),
    ],
)
def test_other_settings_are_refused(folder, search, changes, message):
    before = records(folder)
    with pytest.raises(ValueError, match=message):
        tune(YIN_YANG_NETWORK, search, 2, folder, {**TINY, **changes}, quiet=True)
    assert records(folder) == before


def test_where_data_lie_and_threads_may_change(folder, tmp_path):
    tune(YIN_YANG_NETWORK, SEARCH, 1, folder, {**TINY, "threads": 1, "data.root": str(tmp_path)}, quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0][:-3], *lines[1:]],
        lambda lines: ["[]", *lines],
        lambda lines: ["3", *lines],
        lambda lines: ['{"op_code": 99}', *lines],
        lambda lines: lines[1:],
    ],
)
def test_a_damaged_journal_is_an_error_in_words(folder, change, capsys):
    journal = folder / "journal.log"
    journal.write_text("\n".join(change(journal.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match="journal.log.* is damaged"):
        tune(YIN_YANG_NETWORK, SEARCH, 2, folder, TINY, quiet=True)


def test_an_unfinished_record_is_dropped(folder):
    with (folder / "journal.log").open("a") as file:
        file.write('{"op_code": 4, "wor')
    tune(YIN_YANG_NETWORK, SEARCH, 2, folder, TINY, quiet=True)
    assert all(json.loads(line) for line in (folder / "journal.log").read_text().splitlines())


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    def stop(config, out, **_):
        raise Interrupted(RunFolder(out))

    monkeypatch.setattr(module, "train", stop)
    arguments = [word for key, value in TINY.items() for word in (f"--{key}", json.dumps(value))]
    assert main(["tune", YIN_YANG_NETWORK, "--search", SEARCH[0], "--out", str(tmp_path / "a"), *arguments]) == 130
    assert f"the same command continues the search in {tmp_path / 'a'}" in capsys.readouterr().err


@pytest.mark.parametrize("search", ["train.lr.weight=0:.inf", "train.lr.weight=.nan:1", "train.betas={a},3"])
def test_ranges_are_finite_and_choices_plain(search, tmp_path):
    with pytest.raises(ValueError, match="--search"):
        tune(YIN_YANG_NETWORK, [search], 1, tmp_path / "a", TINY)
    assert not (tmp_path / "a").exists()
