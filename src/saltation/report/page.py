"""`report`: one page about a run."""

import os
from pathlib import Path

from saltation import SpikeBudgetError
from saltation.files import write_bytes
from saltation.report import sections
from saltation.report.facts import Network, Record, read_network, read_record
from saltation.report.html import Html, Section, page, text
from saltation.report.measure import Measured, measure


def report(run: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Write one HTML page about a run, finished or not, which needs nothing from elsewhere; returns its path.

    run  a run folder; where its network or data cannot be had, the page says why, and shows the rest
    out  the file; default: report.html in the run folder
    Raises FileNotFoundError if there is no run, ValueError if its metrics or result are damaged, OSError where the page
    cannot be written. Test samples are looked at only if training has done so at its end.
    """
    record = read_record(run)
    network, notes = read_network(record)
    measured = None
    if network is not None:
        try:
            measured = measure(network)
        except (ValueError, SpikeBudgetError) as error:
            notes.append(f"the network could not be run: {error}")
    content = page(f"{_name(record)}: what the run did", _sections(record, network, measured, notes))
    path = record.run.path / "report.html" if out is None else Path(out)
    write_bytes(path, content.encode("utf-8", "replace"))
    return path


def _sections(record: Record, network: Network | None, measured: Measured | None, notes: list[str]) -> list[Section]:
    warnings = Html("".join(f'<p class="note">{text(note)}</p>' for note in notes))
    return [
        Section("result", "Result", Html(warnings + sections.result(record))),
        Section("remarks", "Remarks", sections.remarked(record)),
        Section("learning", "Learning", sections.learning(record)),
        Section("confusion", "Confusion", sections.confusion(record, network, measured)),
        Section("activity", "Activity", sections.activity(record, network, measured)),
        Section("samples", "Samples", sections.samples(network, measured)),
        Section("parameters", "Weights, delays, thresholds", sections.trained(network)),
        Section("gradients", "Gradients", sections.gradients(record)),
        Section("environment", "Environment", sections.surroundings(record)),
        Section("configuration", "Configuration", sections.settings(record)),
    ]


def _name(record: Record) -> str:
    return record.config.name if record.config is not None else record.name
