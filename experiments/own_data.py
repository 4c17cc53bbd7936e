"""`saltation new` on recordings that nobody tuned it for, beside simple references on the same samples.

    python experiments/own_data.py FOLDER --prepare --aeon AEON/datasets/data --fsdd fsdd_8khz.npz
    python experiments/own_data.py FOLDER --seeds 3 [--only wine iris] [--minutes 1]

--prepare puts the recordings into FOLDER: tables of scikit-learn, series of the package aeon (its wheel, unpacked, is
enough) and the spoken digits of fsdd_8khz.npz as .wav files. Without it each of them gets the recipe that `saltation
new` writes, untouched but for the seed, and is trained; results go to experiments/results/own_data.json.
References: nearest neighbour and logistic regression (scikit-learn), on the values of tables, on series as they are, on
pixels, and on numbers of events of each channel of sounds; all but series are standardised.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from saltation.data.series import read_ts
from saltation.new import new_recipe
from saltation.new.numbers import read_numbers, read_table
from saltation.train import load_config, train
from saltation.train.run import load_data

RESULTS = Path(__file__).parent / "results" / "own_data.json"
SERIES = ("ArrowHead", "GunPoint", "ItalyPowerDemand", "OSULeaf", "BasicMotions", "ACSF1")


def prepare(folder, aeon, fsdd):
    """The recordings as somebody might have them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in (("wine", load_wine), ("breast_cancer", load_breast_cancer), ("iris", load_iris)):
        data = load()
        rows = [[*map(repr, map(float, x)), data.target_names[y]] for x, y in zip(data.data, data.target, strict=True)]
        header = [*(column.replace(",", " ") for column in data.feature_names), "class"]
        (folder / f"{name}.csv").write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    digits = load_digits()
    np.savez(folder / "digits.npz", x=digits.images, y=digits.target)
    for name in SERIES if aeon else ():
        shutil.copytree(aeon / name, folder / name, dirs_exist_ok=True)
    if fsdd:
        sounds = dict(np.load(fsdd))
        (folder / "sounds").mkdir(exist_ok=True)
        for name, wave in waves_of(sounds):
            wavfile.write(folder / "sounds" / f"{name}.wav", 8000, wave)


def waves_of(sounds):
    """(digit_speaker_index, samples) of the recordings."""
    offsets, speakers = sounds["offsets"], [str(name) for name in sounds["speakers"]]
    for i, digit in enumerate(sounds["label"]):
        name = f"{digit}_{speakers[sounds['speaker'][i]]}_{sounds['index'][i]}"
        yield name, sounds["audio"][offsets[i] : offsets[i + 1]]


def features(path, data):
    """(S, F) of all samples, in the order of `data`: what a reference sees."""
    if path.suffix == ".csv":
        return read_table(path)[0].values
    if path.suffix == ".npz":
        values = read_numbers(path, dict(np.load(path))).values
        return values.reshape(len(values), -1)
    if (path / f"{path.name}_TRAIN.ts").exists():
        both = [sample for part in ("TRAIN", "TEST") for sample in read_ts(path / f"{path.name}_{part}.ts")[0]]
        steps = max(sample.shape[1] for sample in both)
        return np.stack([np.pad(sample, ((0, 0), (0, steps - sample.shape[1]))).ravel() for sample in both])
    return data.batch(np.arange(len(data)))[0].counts().numpy().astype(float)


def references(values, data, scaled):
    """Test accuracies of models trained on training and validation samples."""
    seen, tested = data.split != 2, data.split == 2
    models = {
        "nearest_neighbour": KNeighborsClassifier(1),
        "logistic_regression": LogisticRegression(max_iter=5000),
    }
    found = {}
    for name, model in models.items():
        scale = StandardScaler() if scaled else FunctionTransformer()
        model = make_pipeline(scale, model).fit(values[seen], data.labels[seen])
        found[name] = float(model.score(values[tested], data.labels[tested]))
    return found


def run(path, seeds, minutes, work):
    """One recording: the recipe, its accuracies, the references."""
    recipe = work / f"{path.stem}.yaml"
    begun = time.process_time()
    _, said = new_recipe(path, recipe, seconds=60 * minutes)
    looked = time.process_time() - begun
    accuracies, seconds = [], []
    for seed in range(seeds):
        begun = time.process_time()
        result = train(load_config(recipe, {"seed": seed}), work / f"{path.stem}-{seed}", quiet=True)
        accuracies.append(result["test_accuracy"])
        seconds.append(time.process_time() - begun)
    data = load_data(load_config(recipe).data)
    return {
        "test": accuracies,
        "minutes": minutes,
        "tested": int((data.split == 2).sum()),
        "trained": int((data.split != 2).sum()),
        "cpu_seconds": seconds,
        "cpu_seconds_to_write_the_recipe": looked,
        "references": references(features(path, data), data, scaled=not path.is_dir() or path.name == "sounds"),
        "said": [line.replace(f"{path.parent}/", "").replace(f"{work.absolute()}/", "") for line in said],
    }


def main():
    """Run what is asked for; keep what other calls have found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--aeon", type=Path)
    parser.add_argument("--fsdd", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0, help="as of saltation new")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    if options.prepare:
        prepare(options.folder, options.aeon, options.fsdd)
        return
    work = options.folder / "runs"
    work.mkdir(exist_ok=True)
    recordings = sorted(path for path in options.folder.iterdir() if path.name != "runs")
    for path in recordings:
        if options.only and path.stem not in options.only:
            continue
        found = run(path, options.seeds, options.minutes, work)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[path.stem] = found
        RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
        print(path.stem, [round(accuracy, 4) for accuracy in found["test"]], found["references"], flush=True)


if __name__ == "__main__":
    main()
