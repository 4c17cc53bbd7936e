"""The training loop, from top to bottom."""

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from saltation.data.samples import Samples
from saltation.files import hold, make_folder, remove_unfinished
from saltation.spikes import Spikes
from saltation.train.advice import delays_at_bounds, new_remarks
from saltation.train.batch import own_samples, sent_on
from saltation.train.checks import check_config
from saltation.train.config import Config
from saltation.train.evaluate import EpochStatistics, evaluate
from saltation.train.ghosts import ghost_share, smoothed_layers
from saltation.train.hardware import on_hardware
from saltation.train.objective import Objective
from saltation.train.optim import clip_gradient, set_learning_rates
from saltation.train.processes import Processes, check_folder_is_named, joined
from saltation.train.progress import Progress
from saltation.train.result import finish
from saltation.train.run import Origin, RunFolder, load_data, new_run, open_run
from saltation.train.state import State, begin, keep_best, save_state
from saltation.train.tensorboard import Board, check_tensorboard
from saltation.train.training import Training, left_behind


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

    With `train.starts` > 1 several networks begin, see `choose_start`. Started by torchrun, or in a default process
    group of torch.distributed, all processes must call it: they share every batch, take the steps of a single one, and
    all return the result; that of rank 0 alone writes files and prints. See docs/scale-out.md.
    Returns test_accuracy, test_standard_error, validation_accuracy, reported_epoch, parameters, seconds, run and more.
    The accuracies are those of the epoch with the best validation accuracy (the lower validation loss among equals), or
    of the last one (`train.report`).
    Raises ValueError for configurations and data that are out of range, for a run that is not what it was, for one that
    another process trains, and for non-finite losses and gradients; OSError where files cannot be written; Interrupted
    (a KeyboardInterrupt) after Ctrl-C. Whatever ends a run, even the power: it can be resumed.
    """
    if tensorboard:
        check_tensorboard()
    if resume is None:
        if config is None:
            raise ValueError("give a configuration (load_config('yin_yang')) or a run to resume")
        check_config(config)
        check_folder_is_named(out)
    with joined() as processes, ExitStack() as at_the_end:
        at_the_end.callback(torch.set_num_threads, torch.get_num_threads())
        training, state, run = _opened(config, out, resume, quiet, processes, at_the_end)
        try:
            if state.epoch == 0 and training.config.train.starts > 1:
                state = choose_start(training, run)
            history = train_epochs(training, state, run, training.config.train.epochs, on_epoch, tensorboard)
            processes.wait()  # for the checkpoint that is tested
            tested = training.dataset if test else training.dataset.without_test()
            return finish(replace(training, dataset=tested), state, run, history)
        except KeyboardInterrupt:
            raise Interrupted(run) from None
        except OSError as error:
            raise OSError(f"{error}; mend that, then continue with: saltation train --resume {run.path}") from error


def _opened(
    config: Config | None,
    out: str | os.PathLike[str] | None,
    resume: str | os.PathLike[str] | None,
    quiet: bool,
    processes: Processes,
    at_the_end: ExitStack,
) -> tuple[Training, State, RunFolder]:
    """A run to go on with, or a new one; it is held until the end."""
    folder = resume if resume is not None else processes.by_leader(partial(left_behind, out))
    run = None
    if folder is not None:
        run, config = open_run(folder)
        processes.by_leader(partial(_hold, run, at_the_end))
        run = replace(run, writes=processes.leads)
    assert config is not None
    dataset = load_data(config.data, config.train.refit)
    torch.set_num_threads(config.threads or processes.threads())
    training = Training(config, dataset, Origin.of(config, dataset), processes, quiet or not processes.leads)
    if run is not None and processes.by_leader(run.begun):
        return training, training.restored(run), run
    state = training.begun()
    if run is None:
        run = processes.by_leader(partial(_new_run, config, out, at_the_end))
        run = replace(run, writes=processes.leads)
    begin(run, state, config.train.refit)
    return training, state, run


def _hold(run: RunFolder, at_the_end: ExitStack) -> None:
    at_the_end.callback(hold(run.path).release)


def _new_run(config: Config, out: str | os.PathLike[str] | None, at_the_end: ExitStack) -> RunFolder:
    run, lock = new_run(config, out)
    at_the_end.callback(lock.release)
    return run


def choose_start(training: Training, run: RunFolder) -> State:
    """Train every start for `start_epochs`, in a folder of its own under starts/, and make the one that validates best
    the run (lower loss among equals).

    Returns where the run then stands; its seconds are those that all starts took.
    """
    config = training.config
    states: list[State] = []
    for start in range(config.train.starts):
        candidate = run.start(start)
        if candidate.writes:
            make_folder(candidate.path)
            remove_unfinished(candidate.path)
        if training.processes.by_leader(candidate.begun):
            state = training.restored(candidate)
        else:
            state = training.begun(start)
            begin(candidate, state)
        train_epochs(training, state, candidate, config.train.start_epochs)
        states.append(state)
    best = max(states, key=lambda state: (state.best_accuracy, -state.best_loss))
    training.processes.by_leader(partial(run.take_over, run.start(best.start)))
    state = training.restored(run)
    state.seconds = sum(state.seconds for state in states)
    return state


def train_epochs(
    training: Training,
    state: State,
    run: RunFolder,
    until: int,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    tensorboard: bool = False,
) -> list[dict[str, Any]]:
    """All epochs that are left up to `until`: train, validate, record, save. Returns the metrics of all epochs."""
    config, objective, train_data = training.config, training.objective, training.samples
    history = run.truncate_metrics(state.epoch)
    validation_data = training.dataset.subset("validation")
    ghosts = bool(smoothed_layers(state.model))
    board = Board(run, history) if tensorboard and run.writes else nullcontext()
    with board, Progress(until, state.epoch, len(train_data), training.quiet, ghosts) as progress:
        progress.start(f"{config.name}: {training.dataset!r}\nrun folder {run.path}")
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
    """One pass over the training samples; returns its statistics. `ghost_share` is that of the first batch.

    The objective's processes share every batch, and all return the same statistics.
    """
    settings, begun, processes = config.train, time.process_time(), objective.processes
    statistics = EpochStatistics()
    norms: list[float] = []
    bumped = 0
    smoothed, share = bool(smoothed_layers(state.model)), None
    network = on_hardware(state.model, settings.hardware, state.generator)
    between = None
    if settings.hidden_drop > 0 or settings.hidden_jitter > 0:
        between = partial(sent_on, settings=settings, generator=state.generator, processes=processes)
    run = processes.parallel(network, forward)
    steps_per_epoch = math.ceil(len(data) / settings.batch_size)
    for i, indices in enumerate(data.orders(settings.batch_size, state.generator)):
        where = f"in epoch {state.epoch + 1}, batch {i + 1}"
        factor = set_learning_rates(state.optimizer, settings, state.epoch * steps_per_epoch + i, steps_per_epoch)
        spikes, labels = own_samples(data, indices, config, state.generator, processes)
        drawn = state.generator.get_state() if i == 0 and smoothed else None
        what = objective, spikes, labels, between, processes.weight(len(indices))
        total, loss, predictions, results = run(*what)
        if not torch.isfinite(total):
            raise ValueError(f"the loss is {total.item()} {where}; use a lower learning rate or another loss")
        state.optimizer.zero_grad()
        total.backward()
        if drawn is not None:
            share = ghost_share(state.model, partial(forward, network, *what), state.generator, drawn, processes)
        norms.append(clip_gradient(state.model, settings.clip_norm, where))
        state.optimizer.step()
        state.model.constrain_()
        bumped += objective.revive(state.model, results)
        state.follow()
        statistics.update(float(loss.detach()), predictions, labels, results)
        progress.batch(len(indices))
    statistics.gather(processes)
    processes.check_same(state.model)
    seconds = processes.total(torch.tensor([time.process_time() - begun], dtype=torch.float64))
    norm = {"gradient_norm": sum(norms) / len(norms), "gradient_norm_max": max(norms)}
    clipped = sum(0 < settings.clip_norm < each for each in norms) / len(norms)
    rest = {"clipped": clipped, "ghost_share": share, "bumped": bumped, "learning_rate_factor": factor}
    return {**statistics.summary(), **norm, **rest, "cpu_seconds": float(seconds)}


def forward(
    model: Any,
    objective: Objective,
    spikes: Spikes,
    labels: torch.Tensor,
    between: Callable[[Spikes], Spikes] | None,
    weight: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Any]]:
    """What is minimised and, of that, the loss; the predictions (B,), and what `Sequential.run` returns.

    weight  of the means over these samples, see `Processes.weight`
    """
    results = model.run(spikes, objective.needs_peak, between)
    loss, predictions = objective(results, labels)
    return loss * weight + objective.penalty(results, weight), loss, predictions, results
