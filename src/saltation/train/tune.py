"""Search for settings of a recipe that validate best, with Optuna.

The folder of a search holds journal.log, from which the same call continues, trials/N, the run folder of every trial,
and best.yaml, the best configuration so far. Test samples are never looked at.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from saltation.train.config import Config
from saltation.train.loop import train
from saltation.train.recipes import load_config, to_yaml, value_from_text
from saltation.train.run import write_text

FACTOR = 5.0  # how far the default ranges of learning rates reach from the recipe's
WARM_UP_TRIALS = 5  # so many run to their end before any is pruned


def tune(
    recipe: str | os.PathLike[str],
    search: Sequence[str],
    trials: int,
    out: Path,
    overrides: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train until there are `trials` finished trials, earlier ones included; returns the best settings found.

    search  "KEY=LOW:HIGH", "KEY=log:LOW:HIGH" (both whole numbers: whole numbers) or "KEY=A,B,C"; empty: all learning
            rates that are not 0
    overrides  hold for all trials

    A trial whose best validation accuracy so far is below the median of the others at that epoch is ended early. The
    first trial is the recipe itself, where its values lie in the ranges. A trial that fails (a loss that is not finite,
    activity that runs away) counts as pruned.
    Raises ValueError for illegal keys and ranges, and if Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError("saltation tune needs the package optuna: pip install 'saltation[tune]'") from error
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from saltation import SpikeBudgetError

    if trials < 1:
        raise ValueError(f"--trials is {trials}; it must be at least 1")
    base = load_config(recipe, overrides)
    ranges = dict(_range(text) for text in search) or _learning_rates(base)
    for key, choice in ranges.items():  # a wrong key or an illegal value shows here, not after the first trial
        for value in choice["choices"] if "choices" in choice else (choice["low"], choice["high"]):
            load_config(recipe, {**(overrides or {}), key: value})
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(out / "journal.log"))),
        study_name=base.name,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM_UP_TRIALS),
    )
    done = sum(trial.state.is_finished() for trial in study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=base.seed + done)
    start = _values(base, ranges)
    if not study.trials and start is not None:
        study.enqueue_trial(start)

    def run(trial: Any) -> float:
        values = {key: _suggest(trial, key, choice) for key, choice in ranges.items()}
        config = load_config(recipe, {**(overrides or {}), **values})
        best = 0.0

        def report(line: dict[str, Any]) -> None:
            nonlocal best
            best = max(best, line["validation_accuracy"])
            trial.report(best, line["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        folder = out / "trials" / str(trial.number)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            return float(train(config, folder, quiet=True, on_epoch=report, test=False)["validation_accuracy"])
        except (SpikeBudgetError, ValueError) as error:
            trial.set_user_attr("error", " ".join(str(error).split()))
            raise optuna.TrialPruned from error

    def tell(study: Any, trial: Any) -> None:
        finished = [other for other in study.trials if other.state == optuna.trial.TrialState.COMPLETE]
        if finished and study.best_trial.number == trial.number:
            write_text(out / "best.yaml", to_yaml(load_config(recipe, {**(overrides or {}), **trial.params})))
        if not quiet:
            reached = f"{100 * trial.value:.2f} %" if trial.value is not None else "-"
            settings = ", ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in trial.params.items()
            )
            reason = trial.user_attrs.get("error", "")
            print(
                f"trial {trial.number}: validation {reached} ({trial.state.name.lower()}) {settings} {reason}".rstrip(),
                flush=True,
            )

    study.optimize(run, n_trials=max(trials - done, 0), callbacks=[tell])
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise ValueError(f"no trial of {out} ran to its end; see its journal.log, and choose other ranges")
    if not quiet:
        print(
            f"best: validation {100 * study.best_value:.2f} % in trial {study.best_trial.number}; {out / 'best.yaml'}"
        )
    return dict(study.best_params)


def _range(text: str) -> tuple[str, dict[str, Any]]:
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--search {text}: write KEY=LOW:HIGH, KEY=log:LOW:HIGH or KEY=A,B,C")
    if ":" not in values:
        return key, {"choices": [value_from_text(value) for value in values.split(",")]}
    log = values.startswith("log:")
    edges = [value_from_text(edge) for edge in values.removeprefix("log:").split(":")]
    numbers = all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in edges)
    if len(edges) != 2 or not numbers or not edges[0] < edges[1] or (log and edges[0] <= 0):
        raise ValueError(f"--search {text}: LOW must be below HIGH, both numbers, and with log above 0")
    return key, {"low": edges[0], "high": edges[1], "log": log}


def _learning_rates(config: Config) -> dict[str, dict[str, Any]]:
    rates = {name: rate for name, rate in vars(config.train.lr).items() if rate}
    return {f"train.lr.{name}": {"low": r / FACTOR, "high": r * FACTOR, "log": True} for name, r in rates.items()}


def _values(config: Config, ranges: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The recipe's own values of the keys, or None if one of them is outside of its range."""
    tree = OmegaConf.structured(config)
    values = {}
    for key, choice in ranges.items():
        value = OmegaConf.select(tree, key)
        if "choices" in choice:
            inside = value in choice["choices"]
        else:
            inside = value is not None and choice["low"] <= value <= choice["high"]
        if not inside:
            return None
        values[key] = value
    return values


def _suggest(trial: Any, key: str, choice: dict[str, Any]) -> Any:
    if "choices" in choice:
        return trial.suggest_categorical(key, choice["choices"])
    if isinstance(choice["low"], int) and isinstance(choice["high"], int):
        return trial.suggest_int(key, choice["low"], choice["high"], log=choice["log"])
    return trial.suggest_float(key, choice["low"], choice["high"], log=choice["log"])
