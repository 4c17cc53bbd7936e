"""The training loop, from top to bottom."""

import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from saltation.data import augment
from saltation.data.samples import Samples
from saltation.files import hold, make_folder
from saltation.spikes import Spikes
from saltation.train.advice import delays_at_bounds, new_remarks
from saltation.train.checks import check_config
from saltation.train.config import Config, TrainConfig
from saltation.train.evaluate import EpochStatistics, evaluate
from saltation.train.ghosts import ghost_share, smoothed_layers
from saltation.train.hardware import on_hardware
from saltation.train.objective import Objective
from saltation.train.optim import clip_gradient, set_learning_rates
from saltation.train.progress import Progress
from saltation.train.result import finish
from saltation.train.run import Origin, RunFolder, load_data, new_run, open_run
from saltation.train.state import State, begin, keep_best, new_state, restore_state, save_state
from saltation.train.tensorboard import Board, check_tensorboard


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C; `run` is the folder from which it can be continued."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(
            f"stopped; all finished epochs are in {run.path}\ncontinue with: saltation train --resume {run.path}"
        )
        self.run = run


def train(
    config: Config | None = None,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    resume: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    test: bool = True,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Train a network and return its result (also written to result.json in the run folder).

    config  from `load_config`; not needed with resume
    out     the run folder; default: runs/<name>-<time>
    quiet   print nothing
    resume  an existing run folder to continue; the outcome is the same, bit for bit, as without the interruption
    on_epoch  called with the metrics of every epoch, after its checkpoint; what it raises ends the training
    test    False: leave the test samples alone, as a search for settings must; test_accuracy is then None
    tensorboard  write what TensorBoard shows into the folder `tensorboard` of the run

    With `train.starts` > 1 several networks begin, see `choose_start`.
    Returns test_accuracy, test_standard_error, validation_accuracy, reported_epoch, parameters, seconds, run and more.
    The accuracies are those of the epoch with the best validation accuracy (the lower validation loss among equals), or
    of the last one (`train.report`).
    Raises ValueError for configurations and data that are out of range, for a run that is not what it was, for one that
    another process trains, and for non-finite losses and gradients; OSError where files cannot be written; Interrupted
    (a KeyboardInterrupt) after Ctrl-C. Whatever ends a run, even the power: it can be resumed.
    """
    lock = None
    if tensorboard:
        check_tensorboard()
    if resume is not None:
        run, config = open_run(resume)
        lock = hold(run.path)
    elif config is None:
        raise ValueError("give a configuration (load_config('yin_yang')) or a run to resume")
    else:
        check_config(config)
    threads = torch.get_num_threads()
    try:
        dataset = load_data(config.data, config.train.refit)
        torch.set_num_threads(config.threads or threads)
        train_data = dataset.subset("train")
        origin = Origin.of(config, dataset)
        if resume is not None and run.begun():
            state = restore_state(run, config, train_data, origin)
        else:
            state = new_state(config, train_data, origin)
            if lock is None:
                run, lock = new_run(config, out)
            begin(run, state, config.train.refit)
        try:
            if state.epoch == 0 and config.train.starts > 1:
                seconds = choose_start(config, dataset, run, origin, quiet)
                state = restore_state(run, config, train_data, origin)
                state.seconds = seconds
            history = train_epochs(config, dataset, state, run, config.train.epochs, quiet, on_epoch, tensorboard)
            return finish(config, dataset if test else dataset.without_test(), state, run, history, quiet)
        except KeyboardInterrupt:
            raise Interrupted(run) from None
        except OSError as error:
            raise OSError(f"{error}; mend that, then continue with: saltation train --resume {run.path}") from error
    finally:
        torch.set_num_threads(threads)
        if lock is not None:
            lock.release()


def choose_start(config: Config, dataset: Samples, run: RunFolder, origin: Origin, quiet: bool) -> float:
    """Train every start for `start_epochs`, in a folder of its own under starts/, and make the one that validates best
    the run (lower loss among equals).

    Returns the seconds all of them took.
    """
    train_data = dataset.subset("train")
    states: list[State] = []
    for start in range(config.train.starts):
        candidate = run.start(start)
        if candidate.begun():
            state = restore_state(candidate, config, train_data, origin)
        else:
            state = new_state(config, train_data, origin, start)
            make_folder(candidate.path)
            begin(candidate, state)
        train_epochs(config, dataset, state, candidate, config.train.start_epochs, quiet)
        states.append(state)
    best = max(states, key=lambda state: (state.best_accuracy, -state.best_loss))
    run.take_over(run.start(best.start))
    return sum(state.seconds for state in states)


def train_epochs(
    config: Config,
    dataset: Samples,
    state: State,
    run: RunFolder,
    until: int,
    quiet: bool,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    tensorboard: bool = False,
) -> list[dict[str, Any]]:
    """All epochs that are left up to `until`: train, validate, record, save. Returns the metrics of all epochs."""
    history = run.truncate_metrics(state.epoch)
    train_data, validation_data = dataset.subset("train"), dataset.subset("validation")
    objective = Objective(config)
    ghosts = bool(smoothed_layers(state.model))
    board = Board(run, history) if tensorboard else nullcontext()
    with board, Progress(until, state.epoch, len(train_data), quiet, ghosts) as progress:
        progress.start(f"{config.name}: {dataset!r}\nrun folder {run.path}")
        while state.epoch < until:
            start = time.perf_counter()
            metrics = train_epoch(config, objective, train_data, state, progress)
            validation: dict[str, Any] = {}
            if not config.train.refit:
                answering = on_hardware(state.answering, config.train.hardware)
                validation = evaluate(answering, objective, validation_data, config.train.batch_size)
            seconds = time.perf_counter() - start
            line = {"epoch": state.epoch + 1, **metrics, "seconds": seconds}
            line["delays_at_bounds"] = delays_at_bounds(state.model)
            line |= {f"validation_{name}": validation.get(name) for name in ("loss", "accuracy")}
            history.append(line)
            run.append_metrics(line)
            if isinstance(board, Board):
                board.epoch(line, state.model)
            if validation:
                keep_best(run, state, validation)
            state.epoch += 1
            state.seconds += seconds
            save_state(run, state)
            progress.epoch(line)
            for remark in new_remarks(history, config):
                progress.say(remark)
            if on_epoch is not None:
                on_epoch(line)
    return history


def train_epoch(
    config: Config, objective: Objective, data: Samples, state: State, progress: Progress
) -> dict[str, Any]:
    """One pass over the training samples; returns its statistics. `ghost_share` is that of the first batch."""
    settings, begun = config.train, time.process_time()
    statistics = EpochStatistics()
    norms: list[float] = []
    bumped = 0
    smoothed, share = bool(smoothed_layers(state.model)), None
    network = on_hardware(state.model, settings.hardware, state.generator)
    between = None
    if settings.hidden_drop > 0 or settings.hidden_jitter > 0:
        between = partial(sent_on, settings=settings, generator=state.generator)
    steps_per_epoch = math.ceil(len(data) / settings.batch_size)
    for i, (spikes, labels) in enumerate(data.batches(settings.batch_size, state.generator)):
        where = f"in epoch {state.epoch + 1}, batch {i + 1}"
        factor = set_learning_rates(state.optimizer, settings, state.epoch * steps_per_epoch + i, steps_per_epoch)
        spikes = augmented(spikes, labels, settings, config.model.image, state.generator)
        drawn = state.generator.get_state() if i == 0 and smoothed else None
        step = partial(forward, network, objective, spikes, labels, between)
        total, loss, predictions, results = step()
        if not torch.isfinite(total):
            raise ValueError(f"the loss is {total.item()} {where}; use a lower learning rate or another loss")
        state.optimizer.zero_grad()
        total.backward()
        if drawn is not None:
            share = ghost_share(state.model, step, state.generator, drawn)
        norms.append(clip_gradient(state.model, settings.clip_norm, where))
        state.optimizer.step()
        state.model.constrain_()
        bumped += objective.revive(state.model, results)
        state.follow()
        statistics.update(float(loss.detach()), predictions, labels, results)
        progress.batch(len(labels))
    norm = {"gradient_norm": sum(norms) / len(norms), "gradient_norm_max": max(norms)}
    clipped = sum(0 < settings.clip_norm < each for each in norms) / len(norms)
    rest = {"clipped": clipped, "ghost_share": share, "bumped": bumped, "learning_rate_factor": factor}
    return {**statistics.summary(), **norm, **rest, "cpu_seconds": time.process_time() - begun}


def forward(
    model: Any,
    objective: Objective,
    spikes: Spikes,
    labels: torch.Tensor,
    between: Callable[[Spikes], Spikes] | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Any]]:
    """What is minimised and, of that, the loss; the predictions (B,), and what `Sequential.run` returns."""
    results = model.run(spikes, objective.needs_peak, between)
    loss, predictions = objective(results, labels)
    return loss + objective.penalty(results), loss, predictions, results


def sent_on(spikes: Spikes, settings: TrainConfig, generator: torch.Generator) -> Spikes:
    """The spikes of a hidden layer with the random changes that the settings ask for."""
    if settings.hidden_jitter > 0:
        spikes = augment.jitter(spikes, settings.hidden_jitter, generator)
    return augment.drop(spikes, settings.hidden_drop, generator) if settings.hidden_drop > 0 else spikes


def augmented(
    spikes: Spikes, labels: torch.Tensor, settings: TrainConfig, image: list[int] | None, generator: torch.Generator
) -> Spikes:
    """A batch of training samples with the random changes that the settings ask for."""
    if settings.blend > 0:
        spikes = augment.blend(spikes, labels, settings.blend, generator)
    if settings.stretch > 0:
        spikes = augment.stretch(spikes, settings.stretch, generator)
    if settings.shift > 0 and image is not None:
        spikes = augment.shift_image(spikes, image, settings.shift, generator)
    elif settings.shift > 0:
        spikes = augment.shift_channels(spikes, settings.shift, generator)
    if settings.jitter > 0:
        spikes = augment.jitter(spikes, settings.jitter, generator)
    if settings.drop > 0:
        spikes = augment.drop(spikes, settings.drop, generator)
    return spikes
