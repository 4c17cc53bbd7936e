"""`saltation new` on one recording of each kind: the recipe trains at once, and no layer of it is silent."""

import numpy as np
import pytest
import yaml

from saltation.cli import main
from saltation.data import EventDataset, load, save_store
from saltation.new import new_recipe, trial
from saltation.new.design import Design
from saltation.train import load_config, train

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def the_same_numbers_for_every_test():
    """Whichever tests were run before, in this process."""
    rng.bit_generator.state = np.random.default_rng(0).bit_generator.state


def events(samples=60, **rest):
    """Class k has its events mostly on channel k, about ten in a second."""
    labels = np.arange(samples) % 3
    counts = rng.integers(8, 13, samples)
    offsets = np.concatenate([[0], counts.cumsum()])
    times = np.concatenate([np.sort(rng.uniform(0.01, 1.0, n)) for n in counts])
    channels = np.concatenate(
        [np.where(rng.random(n) < 0.7, k, rng.integers(0, 3, n)) for n, k in zip(counts, labels, strict=True)]
    )
    return {"times": times, "channels": channels, "offsets": offsets, "labels": labels, **rest}


def an_npz(tmp_path):
    np.savez(tmp_path / "rec.npz", **events(split=np.repeat([0, 1, 2], 20)))
    return tmp_path / "rec.npz"


def an_npz_with_groups(tmp_path):
    np.savez(tmp_path / "rec.npz", **events(subject=np.repeat(np.arange(5), 12)))
    return tmp_path / "rec.npz"


def an_npz_without_split(tmp_path):
    np.savez(tmp_path / "rec.npz", **events())
    return tmp_path / "rec.npz"


def a_store(tmp_path):
    save_store(tmp_path / "rec", EventDataset(**events(split=np.repeat([0, 1, 2], 20))))
    return tmp_path / "rec"


def a_table(tmp_path):
    labels = np.arange(60) % 3
    values = np.column_stack([labels + rng.normal(0, 0.3, 60), rng.normal(0, 1, 60), np.ones(60)])
    lines = [",".join([*map(str, row), "abc"[k]]) for row, k in zip(values, labels, strict=True)]
    (tmp_path / "rec.csv").write_text("\n".join(["u,v,w,class", *lines]))
    return tmp_path / "rec.csv"


def images(tmp_path):
    labels = np.arange(60) % 2
    pictures = rng.integers(0, 60, (60, 6, 6)).astype(np.uint8)
    pictures[labels == 1, :3] += 150
    pictures[labels == 0, 3:] += 150
    np.savez(tmp_path / "rec.npz", x_train=pictures[:40], y_train=labels[:40], x_test=pictures[40:], y_test=labels[40:])
    return tmp_path / "rec.npz"


def series(tmp_path):
    folder = tmp_path / "Rec"
    folder.mkdir()
    for part in ("TRAIN", "TEST"):
        lines = ["@classLabel true up down", "@data"]
        for k in range(24):
            wave = np.sin(np.linspace(0, 6, 40) + 0.3 * rng.normal()) * (1 if k % 2 else -1)
            lines.append(",".join(f"{v:.4f}" for v in wave) + f":{('up', 'down')[k % 2]}")
        (folder / f"Rec_{part}.ts").write_text("\n".join(lines))
    return folder


def sounds(tmp_path):
    from scipy.io import wavfile

    folder = tmp_path / "rec"
    folder.mkdir()
    for k in range(60):
        tone = np.sin(2 * np.pi * (300, 900)[k % 2] * np.arange(1600) / 8000) * np.hanning(1600)
        wave = (8000 * (tone + 0.05 * rng.normal(size=1600))).astype(np.int16)
        wavfile.write(folder / f"{('low', 'high')[k % 2]}_{'abcde'[k // 12]}_{k}.wav", 8000, wave)
    return folder


KINDS = (an_npz, an_npz_with_groups, an_npz_without_split, a_store, a_table, images, series, sounds)


@pytest.mark.parametrize("make", KINDS)
def test_trains_at_once(make, tmp_path):
    path, said = new_recipe(make(tmp_path), tmp_path / "recipe.yaml", seconds=3.0)
    text = path.read_text()
    assert all(f"# {line}\n" in text for line in said)
    config = load_config(path)
    config.train.epochs = 2
    lines = []
    result = train(config, tmp_path / "run", quiet=True, on_epoch=lines.append)
    assert result["test_accuracy"] is not None
    assert lines[0]["silent_by_layer"][0] < 0.5
    assert 0.2 < lines[0]["spikes_by_layer"][0] < 10.0
    data = yaml.safe_load(text)["data"]
    assert {"events": make is not series, "series": make is series}[data["name"]]


def test_groups_are_not_divided(tmp_path):
    path, said = new_recipe(an_npz_with_groups(tmp_path), tmp_path / "recipe.yaml", seconds=3.0)
    options = load_config(path).data.options
    assert options == {"group_key": "subject", "test_group": [4], "validation_group": [3]}
    assert "split by group: 4 tested, 3 for validation, 5 in all" in said
    path, said = new_recipe(sounds(tmp_path), tmp_path / "other.yaml", seconds=3.0)
    assert "groups: word 2 of the names of the files" in said
    data = load("events", tmp_path / "rec-events.npz")
    assert [int((data.split == code).sum()) for code in range(3)] == [36, 12, 12]
    assert data.class_names == ("high", "low")


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", str(an_npz(tmp_path)), "--minutes", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "20 samples train, 20 validate, 20 test; 3 classes" in printed
    assert "train it with: saltation train rec.yaml" in printed
    assert main(["train", "rec.yaml", "--train.epochs", "1", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["new", "rec.npz"]) == 2
    assert "rec.yaml is there already; take it away" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.npz", None, "nothing lies at .*nothing.npz; give an .npz of events"),
        ("notes.md", b"words", "is of no kind that is known here; give an .npz of events"),
        ("rec.npz", b"words", "is not an .npz file"),
        ("tonic:SHD", None, "tonic:NAME needs --root"),
    ],
)
def test_what_is_no_recording(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        new_recipe(name if name.startswith("tonic") else tmp_path / name, tmp_path / "recipe.yaml")


def test_folders_that_are_no_recording(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds nothing; a recording is an .npz of events"):
        new_recipe(tmp_path / "empty")
    (tmp_path / "empty" / "Gun_TRAIN.ts").write_text("@data\n1,2:a\n")
    with pytest.raises(ValueError, match="the folder must have the name of the series, Gun: rename it"):
        new_recipe(tmp_path / "empty")


def test_what_fails_leaves_no_file(tmp_path, monkeypatch):
    """Else the second attempt would be refused for the events of the first."""
    made = an_npz_without_split(tmp_path)

    def interrupted(*_):
        assert (tmp_path / "new" / "rec-events.npz").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("saltation.new.recipe.tried", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_recipe(made, tmp_path / "new" / "a.yaml")
    assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rec.yaml").write_text("name: mine\n")
    with pytest.raises(ValueError, match="rec.yaml is there already"):
        new_recipe(made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "rec.npz", "rec.yaml"]


def test_a_folder_that_is_missing_is_made(tmp_path):
    path, _ = new_recipe(an_npz(tmp_path), tmp_path / "far" / "away" / "recipe.yaml", seconds=3.0)
    assert load_config(path).name == "rec"


@pytest.mark.parametrize("minutes", ["inf", "nan", "0", "-1"])
def test_minutes_that_are_none(minutes, tmp_path, capsys):
    assert main(["new", str(an_npz(tmp_path)), "--out", str(tmp_path / "a.yaml"), f"--minutes={minutes}"]) == 2
    assert "it must be > 0 and finite" in capsys.readouterr().err


def test_what_a_file_says_of_its_sizes_stays(tmp_path):
    np.savez(tmp_path / "rec.npz", **events(num_channels=7, num_classes=4))
    new_recipe(tmp_path / "rec.npz", tmp_path / "recipe.yaml", seconds=3.0)
    found = load("events", tmp_path / "rec-events.npz")
    assert (found.num_channels, found.num_classes) == (7, 4)


def test_labels_that_are_not_flat(tmp_path):
    np.savez(tmp_path / "rec.npz", **(events() | {"labels": np.zeros((60, 2), int)}))
    with pytest.raises(ValueError, match=r"'labels' has shape \(60, 2\); it must be flat"):
        new_recipe(tmp_path / "rec.npz", tmp_path / "recipe.yaml")


def test_a_recording_much_longer_than_most_samples(tmp_path):
    """The last event is at 1.03, and samples hardly last longer than 0.01: two digits would end before it."""
    found = events(split=np.repeat([0, 1, 2], 20))
    found["times"] = found["times"] / 100
    found["times"][-1] = 1.03
    np.savez(tmp_path / "rec.npz", **found)
    path, _ = new_recipe(tmp_path / "rec.npz", tmp_path / "recipe.yaml", seconds=3.0)
    assert load_config(path).data.duration >= 1.03


def test_a_design_that_is_made_smaller_is_tried_again(monkeypatch, tmp_path):
    """Whatever size fits: the drive and the cost are those of the design that is returned."""
    sizes = []

    def firing(design, make, data):
        sizes.append((design.terminals, design.size))
        return design, "fires"

    monkeypatch.setattr(trial, "_firing", firing)
    monkeypatch.setattr(trial, "_seconds_a_sample", lambda design, *_: 1.0 * design.size * design.terminals)
    samples = load("events", an_npz(tmp_path))
    design, _ = trial.tried(Design(256, 8, 1.5, 8), None, samples, seconds=1.0)
    assert sizes[-1] == (design.terminals, design.size) == (1, 64)
