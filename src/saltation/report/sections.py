"""The parts of the page, one function each."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from saltation import plot
from saltation.environment import environment
from saltation.parameters import Parameters, parameters
from saltation.report.facts import Network, Record
from saltation.report.html import Html, joined, paragraph, picture, table, text
from saltation.report.measure import Measured, chosen_samples
from saltation.report.words import number, percent, share_with_error, spread, tested
from saltation.train.advice import remarks

NO_METRICS = paragraph("No epoch has ended yet: metrics.jsonl has no lines.")


def result(record: Record) -> Html:
    """What the run reached, or how far it has come."""
    found, epochs = record.result, len(record.history)
    wanted = record.config.train.epochs if record.config is not None else None
    if found:
        state = f"finished after {found.get('epochs', epochs)} epochs"
    else:
        state = f"{epochs} epochs{f' of {wanted}' if wanted else ''}; not finished"
    reported = record.reported()
    count = tested(found)
    rows = [
        ("state", state),
        ("test accuracy", f"{share_with_error(found.get('test_accuracy'), count)}{f' of {count}' if count else ''}"),
        ("validation accuracy", percent(reported.get("validation_accuracy"))),
        ("epoch of these", number(reported.get("epoch"))),
        ("parameters that are trained", number(found.get("parameters"))),
        ("seconds of training", number(record.seconds())),
        ("data", found.get("data", record.config.data.name if record.config is not None else "unknown")),
        ("seed", number(found.get("seed", record.config.seed if record.config is not None else None))),
        ("run folder", record.run.path.resolve()),
    ]
    return table((), rows)


def remarked(record: Record) -> Html:
    """What training said was wrong, by the metrics of its epochs."""
    if record.config is None or not record.history:
        return NO_METRICS if not record.history else paragraph("The configuration is not one of this version.")
    found = remarks(record.history, record.config)
    missing = [key for key in ("clipped", "delays_at_bounds", "silent_by_layer") if key not in record.history[-1]]
    parts = [table(("since epoch", "what, and what to do"), [(remark.epoch, remark.text) for remark in found])]
    if not found:
        parts = [paragraph("No silent layer, delays at their bounds, clipping of most steps or spikes that run away.")]
    if missing:
        unknown = f"An earlier version wrote these metrics: it did not record {', '.join(missing)}."
        parts.append(paragraph(unknown))
    return joined(parts)


def learning(record: Record) -> Html:
    """Loss and accuracy."""
    if not record.history:
        return NO_METRICS
    figure = _row(2)
    plot.loss_curve(figure.axes[0], record.history)
    plot.accuracy_curve(figure.axes[1], record.history)
    return picture(figure, "loss and accuracy of training and validation samples, epoch by epoch")


def confusion(record: Record, network: Network | None, measured: Measured | None) -> Html:
    """Of all test samples, as training left it; or of some validation samples."""
    counts = record.result.get("test_confusion")
    classes = network.samples.class_names if network is not None else ()
    if counts:
        caption = f"All {int(np.sum(counts))} test samples, the network that the run reports."
    elif network is not None and measured is not None:
        counts = measured.confusion(network.samples)
        caption = f"{len(measured.predictions)} {network.split} samples, the network that the run reports."
    else:
        return paragraph("Not known: the run has no result yet, and its network could not be loaded.")
    right, total = int(np.trace(np.array(counts)[:, :-1])), int(np.sum(counts))
    caption += f" {right} of {total} are right. Numbers are per cent of the class (the row)."
    return picture(plot.confusion_figure(counts, classes), "how often each class was taken for each", caption)


def activity(record: Record, network: Network | None, measured: Measured | None) -> Html:
    """How much each layer spikes, and which neurons never do."""
    parts = []
    if record.history:
        figure = _row(2)
        plot.rate_curve(figure.axes[0], record.history)
        plot.silence_curve(figure.axes[1], record.history)
        parts.append(picture(figure, "spikes per neuron of each layer, and silence, epoch by epoch"))
    if network is None or measured is None:
        return joined(parts or [NO_METRICS])
    samples = len(measured.predictions)
    head = ("layer", "neurons", "spikes per neuron and sample", "rate", "silent neurons", "grazing spikes")
    rows: list[tuple[Any, ...]] = []
    per_time = f"per {network.unit}" if network.unit else "per unit of time"
    for layer in measured.layers:
        kind = f"{layer.size} {layer.kind}"
        if layer.counts is None:
            rows.append((layer.name, kind, "readout: never spikes", "", "", ""))
            continue
        spikes = int(layer.counts.sum())
        mean = spikes / (layer.size * samples)
        rate = f"{number(mean / network.samples.duration)} {per_time}"
        silent = f"{layer.silent} ({percent(layer.silent / layer.size)})"
        grazing = f"{layer.grazing} ({percent(layer.grazing / max(spikes, 1))})"
        rows.append((layer.name, kind, number(mean), rate, silent, grazing))
    words = (
        f"The network that the run reports, {samples} {network.split} samples. Silent: no spike in any of them. "
        "Grazing: a spike that crosses the threshold so slowly that its gradient is a hundred times larger, or more."
    )
    return joined([*parts, table(head, rows), paragraph(words)])


def samples(network: Network | None, measured: Measured | None) -> Html:
    """Rasters and potentials of some samples, one at a time."""
    if network is None or measured is None:
        return paragraph("The network could not be run, so there are no samples to show.")
    names = network.samples.class_names
    figures = []
    for position, answer in chosen_samples(network, measured):
        spikes, labels = network.samples.batch([position])
        label = int(labels[0])
        figure = plot.sample_figure(network.model, spikes, label, names, network.unit)
        said = "no answer" if answer < 0 else f"answer {names[answer] if names else answer}"
        true = names[label] if names else label
        verdict = "right" if answer == label else "wrong"
        caption = f"{network.split} sample {position}, class {true}: {said} ({verdict})"
        figures.append(picture(figure, f"spikes of all layers and a membrane potential, {caption}", caption))
    slider = Html(
        f'<p class="slider" hidden><label for="slider">sample</label><input type="range" id="slider" min="0" '
        f'max="{len(figures) - 1}" value="0"><output id="shown" for="slider"></output></p>'
    )
    words = (
        "From above: the input, all layers, V(t) against the threshold θ(t) of the busiest neuron of a hidden layer."
    )
    return joined([paragraph(words), slider, *figures])


def trained(network: Network | None) -> Html:
    """Weights, delays and thresholds before training and after."""
    if network is None:
        return paragraph("The parameters could not be loaded.")
    before, after = parameters(network.model, network.initial), parameters(network.model)
    figure = plot.parameter_figure(network.model, network.initial, network.unit)
    parts = [picture(figure, "histograms of weights, delays and trained neuron parameters, before and after training")]
    delays = [_delay_row(place, before[place], new) for place, new in after.items() if new.delays is not None]
    if delays:
        unit = f" ({network.unit})" if network.unit else ""
        head = ("delays", f"legal{unit}", f"before{unit}", f"after{unit}", "at the lower bound", "at the upper bound")
        parts += [table(head, delays), paragraph("At a bound: within 1 % of the legal range. Before → after training.")]
    rows = [
        (f"{name} of {place}", spread(before[place].neurons[name]), spread(values))
        for place, new in after.items()
        for name, values in new.neurons.items()
    ]
    if rows:
        parts.append(table(("neurons: mean ± standard deviation", "before", "after"), rows))
    return joined(parts)


def gradients(record: Record) -> Html:
    """Norms and grazing spikes."""
    if not record.history:
        return NO_METRICS
    figure = _row(2)
    plot.gradient_curve(figure.axes[0], record.history, record.config.train.clip_norm if record.config else 0.0)
    plot.grazing_curve(figure.axes[1], record.history)
    return picture(figure, "norm of the gradient and grazing spikes, epoch by epoch")


def surroundings(record: Record) -> Html:
    """Versions and machine: of the run, and of this page."""
    then, now = record.environment, environment()
    if not then:
        unknown = paragraph("Of the run not recorded: it is of an earlier version. When this page was made:")
        return joined([unknown, table((), now.items())])
    rows = [(name, then.get(name, "not recorded"), now.get(name, "")) for name in dict.fromkeys([*then, *now])]
    return table(("", "when the run was begun", "when this page was made"), rows)


def settings(record: Record) -> Html:
    """The resolved configuration."""
    return Html(f"<pre>{text(record.settings)}</pre>")


def _row(panels: int) -> Figure:
    figure = Figure(figsize=(6.2 * panels, 3.6), layout="constrained")
    figure.subplots(1, panels)
    return figure


def _delay_row(place: str, before: Parameters, after: Parameters) -> tuple[str, ...]:
    old, new = before.delays, after.delays
    assert old is not None and new is not None
    return (
        place, f"{number(new.low)} to {number(new.high)}", spread(old.values), spread(new.values),
        f"{percent(old.at_low)} → {percent(new.at_low)}", f"{percent(old.at_high)} → {percent(new.at_high)}",
    )  # fmt: skip
