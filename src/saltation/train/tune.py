"""Search for settings of a recipe that validate best, with Optuna.

The folder of a search holds journal.log, from which the same call continues, trials/N, the run folder of every trial,
and best.yaml, the best configuration so far. Test samples are never looked at. What a trial tries depends on the seed
and on the trials finished before it alone, so a search that was stopped and continued finds what it would have found.
Several processes may search in one folder, each its own trials; then it also depends on which of them is faster.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from saltation.check import shown
from saltation.extras import need
from saltation.files import make_folder, remove_unfinished, try_lock, write_text
from saltation.train.config import Config
from saltation.train.loop import Interrupted, train
from saltation.train.recipes import load_config, to_yaml
from saltation.train.run import Origin, RunFolder, load_data

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
    """Train until there are `trials` trials, earlier ones and those of other processes included; returns the best
    settings found, or none if other processes still run all that there are.

    search  "KEY=LOW:HIGH", "KEY=log:LOW:HIGH" (both whole numbers: whole numbers) or "KEY=A,B,C"; empty: all learning
            rates that are not 0
    overrides  hold for all trials

    What counts is the validation accuracy of the epoch that `train.report` names. A trial that is below the median of
    the others at the same epoch (best: with its best so far) is ended early. The first trial is the recipe itself,
    where its values lie in the ranges. A trial that fails (a loss that is not finite, activity that runs away) counts
    as pruned.
    Raises ValueError for illegal keys and ranges, and if the search in `out` was begun with other settings or data, or
    there is a run; MissingPackageError without Optuna.
    """
    need("tune", "saltation tune")
    import optuna

    from saltation.train.journal import parse_range

    if trials < 1:
        raise ValueError(f"--trials is {trials}; it must be at least 1")
    base = load_config(recipe, overrides)
    _check_refit(base)
    ranges = dict(parse_range(text) for text in search) or _learning_rates(base)
    for key, choice in ranges.items():  # a wrong key or an illegal value shows here, not after the first trial
        for value in choice["choices"] if "choices" in choice else (choice["low"], choice["high"]):
            _check_refit(load_config(recipe, {**(overrides or {}), key: value}))
    origin = Origin.of(base, load_data(base.data))
    if os.path.exists(RunFolder(out).config):
        raise ValueError(f"{out} is the folder of a run; choose another folder for the search (--out)")
    make_folder(out)
    searching = _Search(recipe, overrides or {}, ranges, out, quiet)
    try:
        with searching.lock:
            study = _study(out / "journal.log")
        searching.run_all(study, trials, base, {**origin.fixed(), "--search": ranges, "data": origin.fingerprint})
    except Interrupted as error:
        raise KeyboardInterrupt(f"stopped; the same command continues the search in {out}") from error
    except OSError as error:
        raise OSError(f"{error}; mend that, and the same command continues the search in {out}") from error
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    if not quiet and optuna.trial.TrialState.RUNNING in states:
        print("all trials that are left are run by other processes")
    if optuna.trial.TrialState.COMPLETE not in states:
        if optuna.trial.TrialState.RUNNING in states:
            return {}
        raise ValueError(f"no trial of {out} ran to its end; see its journal.log, and choose other ranges")
    with searching.lock:
        searching.keep_best(study)
    if not quiet:
        print(f"best: validation {100 * study.best_value:.2f} %; {out / 'best.yaml'}")
    return dict(study.best_params)


def _study(path: Path) -> Any:
    """Optuna's study in the journal at `path`; no other process is writing. Raises ValueError if it is damaged."""
    import optuna
    from optuna.storages import JournalStorage

    from saltation.train.journal import Journal

    remove_unfinished(path.parent)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = Journal(path)
    try:
        return optuna.create_study(
            storage=JournalStorage(journal),
            study_name="saltation",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM_UP_TRIALS),
        )
    except (KeyError, IndexError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(f"{path} is damaged ({shown(error)}); choose another --out") from error


class _Search:
    """What happens in a trial, and after it."""

    def __init__(
        self,
        recipe: str | os.PathLike[str],
        overrides: Mapping[str, Any],
        ranges: Mapping[str, dict[str, Any]],
        out: Path,
        quiet: bool,
    ) -> None:
        self.recipe = recipe
        self.overrides = overrides
        self.ranges = ranges
        self.out = out
        self.quiet = quiet
        self.lock = FileLock(out / ".search.lock")  # for moments: to begin a trial, and to end it

    def config(self, values: Mapping[str, Any]) -> Config:
        """The recipe with the values of a trial."""
        return load_config(self.recipe, {**self.overrides, **values})

    def run_all(self, study: Any, trials: int, base: Config, settings: Mapping[str, Any]) -> None:
        """Run what is missing of so many trials; the first one is `base` where its values lie in the ranges."""
        import optuna

        from saltation.train.journal import next_number, settle, trial_lock

        while True:
            with self.lock:
                settle(study, settings)
                number = next_number(study, self.out)
                if number >= trials:
                    return
                held = try_lock(trial_lock(self.out, number))
                trial = self.ask(study, number, base)
            assert held is not None
            try:
                try:
                    reached = {"values": self.run(trial, number)}
                except optuna.TrialPruned:
                    reached = {"state": optuna.trial.TrialState.PRUNED}
                with self.lock:
                    study.tell(trial, **reached)
                    self.tell(study, trial.number, number)
            finally:
                held.release()

    def ask(self, study: Any, number: int, base: Config) -> Any:
        """The trial of that number, which other processes then know to be run."""
        import optuna

        from saltation.train.journal import NUMBER, own_values

        study.sampler = optuna.samplers.TPESampler(seed=base.seed + number)
        start = own_values(base, self.ranges) if number == 0 else None
        if start is not None and not study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
            study.enqueue_trial(start)
        trial = study.ask()
        trial.set_user_attr(NUMBER, number)
        return trial

    def run(self, trial: Any, number: int) -> float:
        """Train with what the trial tries; the validation accuracy."""
        import optuna

        from saltation import SpikeBudgetError
        from saltation.train.journal import suggest

        config = self.config({key: suggest(trial, key, choice) for key, choice in self.ranges.items()})
        best = 0.0

        def report(line: dict[str, Any]) -> None:
            nonlocal best
            now = line["validation_accuracy"]
            best = max(best, now)
            trial.report(best if config.train.report == "best" else now, line["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        folder = self.out / "trials" / str(number)
        if os.path.exists(folder):
            shutil.rmtree(folder)  # of a trial that was not finished
        try:
            return float(train(config, folder, quiet=True, on_epoch=report, test=False)["validation_accuracy"])
        except (SpikeBudgetError, ValueError) as error:
            trial.set_user_attr("error", " ".join(str(error).split()))
            raise optuna.TrialPruned from error

    def tell(self, study: Any, which: int, number: int) -> None:
        """Print what a trial reached, `which` of the study, and keep the best configuration."""
        trial = study.trials[which]
        if trial.state.name == "COMPLETE":
            self.keep_best(study)
        if self.quiet:
            return
        reached = f"{100 * trial.value:.2f} %" if trial.value is not None else "-"
        settings = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in trial.params.items()
        )
        reason = trial.user_attrs.get("error", "")
        print(
            f"trial {number}: validation {reached} ({trial.state.name.lower()}) {settings} {reason}".rstrip(),
            flush=True,
        )

    def keep_best(self, study: Any) -> None:
        """Write best.yaml."""
        write_text(self.out / "best.yaml", to_yaml(self.config(study.best_trial.params)))


def _check_refit(config: Config) -> None:
    if config.train.refit:
        raise ValueError(
            "train.refit leaves no validation samples to choose by; search without it, then train once with "
            "train.refit true and train.report last"
        )


def _learning_rates(config: Config) -> dict[str, dict[str, Any]]:
    rates = {name: rate for name, rate in vars(config.train.lr).items() if rate}
    return {f"train.lr.{name}": {"low": r / FACTOR, "high": r * FACTOR, "log": True} for name, r in rates.items()}
