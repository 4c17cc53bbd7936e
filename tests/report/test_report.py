"""The page about a run: whole, its own, and right."""

import base64
import json
import re
import shutil
import subprocess
from io import BytesIO

import matplotlib.image
import numpy as np
import pytest
import torch
from report.reading import Page

from saltation.cli import main
from saltation.parameters import parameters
from saltation.report import html, report
from saltation.train import evaluate_run, load_run

SECTIONS = [
    *("result", "remarks", "learning", "confusion", "activity", "samples", "parameters", "gradients", "environment"),
    "configuration",
]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="session")
def written(finished, tmp_path_factory):
    """The page of a finished run, with its pictures."""
    return report(finished, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="session")
def page(written):
    return Page(written.read_text(encoding="utf-8"))


@pytest.fixture
def quick(monkeypatch):
    """Pages without what takes time: rendering."""
    monkeypatch.setattr(html, "png", lambda *_: b"")


@pytest.fixture
def copied(tmp_path):
    """A copy of a run that may be changed."""
    return lambda run: shutil.copytree(run, tmp_path / "copy")


def nothing_from_elsewhere(content):
    page = Page(content)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "svg", "video", "audio"), tag
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attributes:
                assert re.match("data:image/png;base64,|#[a-z]+$", attributes[name]), attributes[name][:80]
    style, script = (re.search(f"<{tag}>(.*?)</{tag}>", content, re.S)[1] for tag in ("style", "script"))
    assert not re.search(r"url\(|@import|fetch|XMLHttp|import\(|https?:|innerHTML", style + script)
    assert content.count("<script") == 1
    return page


def test_sections_and_nothing_from_elsewhere(written, page):
    content = written.read_text(encoding="utf-8")
    nothing_from_elsewhere(content)
    assert list(page.sections) == SECTIONS
    assert [a["href"] for tag, a in page.tags if tag == "a"] == [f"#{name}" for name in SECTIONS]
    assert len(content) < 3e6


def test_pictures_are_pictures(page):
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 1 + 1 + 1 + 8 + 1 + 1 and all(image["alt"] for image in images)
    for image in images:
        pixels = matplotlib.image.imread(BytesIO(base64.b64decode(image["src"].partition(",")[2])), format="png")
        assert pixels.shape[0] > 200 and pixels.std() > 0.01


def test_the_policy_names_the_script_and_the_style(written):
    content = written.read_text(encoding="utf-8")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', content)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy


def test_results(finished, page):
    result = json.loads((finished / "result.json").read_text())
    share = result["test_accuracy"]
    error = 100 * (share * (1 - share) / 30) ** 0.5
    assert page.cells("result", "test accuracy") == [f"{100 * share:.2f} ± {error:.2f} % of 30"]
    assert page.cells("result", "validation accuracy") == [f"{100 * result['validation_accuracy']:.2f} %"]
    assert page.cells("result", "parameters that are trained") == [str(result["parameters"])]
    assert page.cells("result", "epoch of these") == [str(result["reported_epoch"])]
    assert page.cells("result", "state") == ["finished after 2 epochs"]
    assert page.cells("result", "run folder") == [str(finished)]
    right = round(30 * share)
    assert (
        f"All 30 test samples, the network that the run reports. {right} of 30 are right"
        in page.captions["confusion"][0]
    )


def test_activity(finished, page):
    """Thirty test samples are all looked at, so that figures are those of the evaluation."""
    found = evaluate_run(finished)
    cells = [page.cells("activity", f"layer {k}") for k in (0, 1)]
    assert [row[0] for row in cells] == ["6 LIF", "3 LIF"]
    assert [float(row[1]) for row in cells] == pytest.approx(found["spikes_by_layer"], rel=1e-3)
    assert [float(row[2].split()[0]) for row in cells] == pytest.approx(
        [mean / 6.0 for mean in found["spikes_by_layer"]], rel=1e-3
    )
    silent = [int(row[3].split()[0]) for row in cells]
    assert sum(silent) == round(9 * found["silent_neurons"])
    assert sum(int(row[4].split()[0]) for row in cells) == found["grazing"]


def test_answers_of_the_samples(finished, page):
    model, _, data = load_run(finished)
    test = data.subset("test")
    assert len(page.captions["samples"]) == 8
    for caption in page.captions["samples"]:
        position, true, answer, verdict = re.match(
            r"test sample (\d+), class (\w+): answer (\w+) \((\w+)\)", caption
        ).groups()
        spikes, labels = test.batch([int(position)])
        with torch.no_grad():
            first = int(model(spikes).first().argmin())
        assert (true, answer) == (test.class_names[int(labels[0])], test.class_names[first])
        assert verdict == ("right" if true == answer else "wrong")


def test_parameters_before_and_after(finished, page):
    model, _, _ = load_run(finished)
    initial, _, _ = load_run(finished, "initial")
    for place in ("layer 0", "layer 1"):
        old, new = (parameters(network)[place] for network in (initial, model))
        legal, before, after, low, high = page.cells("parameters", place)
        assert legal == "0 to 1"
        for text, delays in ((before, old.delays), (after, new.delays)):
            mean, std = map(float, text.split(" ± "))
            assert (mean, std) == pytest.approx((delays.values.mean(), delays.values.std()), rel=1e-3)
        assert low == f"{100 * old.delays.at_low:.2f} % → {100 * new.delays.at_low:.2f} %"
        assert high == f"{100 * old.delays.at_high:.2f} % → {100 * new.delays.at_high:.2f} %"
        before, after = page.cells("parameters", f"threshold of {place}")
        assert before == "1 ± 0"
        assert float(after.split()[0]) == pytest.approx(new.neurons["threshold"].mean(), rel=1e-3)


def test_environment_and_configuration(finished, page):
    recorded = json.loads((finished / "environment.json").read_text())
    assert recorded["numpy"] == np.__version__ and recorded["threads"].startswith("1 of ")
    for name in ("numpy", "torch", "python"):
        assert page.cells("environment", name) == [recorded[name]] * 2
    assert (
        page.sections["configuration"].partition("Configuration")[2].strip()
        == (finished / "config.yaml").read_text().strip()
    )


def test_names_are_no_html(recorded, quick, tmp_path):
    content = report(recorded, tmp_path / "page.html").read_text(encoding="utf-8")
    page = nothing_from_elsewhere(content)
    assert "alert(1)" in page.sections["samples"] and "<b>" in page.sections["samples"]
    assert not any(tag in ("b", "i") for tag, _ in page.tags)
    assert "\x1b" not in content and r"\x1b[31mred" in page.sections["samples"]
    assert page.cells("result", "run folder") == [str(recorded)]
    assert page.cells("activity", "layer 1")[1] == "readout: never spikes"


def test_hostile_names_are_drawn(recorded, tmp_path):
    """With dollars, which matplotlib takes for formulas, and characters that no font has."""
    assert report(recorded, tmp_path / "page.html").stat().st_size > 100_000


def test_a_run_that_is_not_finished_shows_no_test_samples(finished, copied, quick):
    run = copied(finished)
    (run / "result.json").unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(lines[0] + "\n" + lines[1][:20])  # a line is being written
    page = Page(report(run).read_text(encoding="utf-8"))
    assert page.cells("result", "epoch of these") == ["1"]
    assert page.cells("result", "state") == ["1 epochs of 2; not finished"]
    assert page.cells("result", "test accuracy") == ["–"]
    assert all("validation" in caption for caption in page.captions["samples"] + page.captions["confusion"])


def test_a_run_without_its_data_shows_the_rest(recorded, copied, quick):
    run = copied(recorded)
    moved = (run / "config.yaml").read_text().replace("events.npz", "nowhere.npz")
    (run / "config.yaml").write_text(moved)
    page = Page(report(run).read_text(encoding="utf-8"))
    assert list(page.sections) == SECTIONS
    assert "nowhere.npz" in page.sections["result"] and "could not be run" in page.sections["samples"]
    assert page.cells("result", "test accuracy") != ["–"] and "12 test samples" in page.captions["confusion"][0]


def test_runs_of_earlier_versions(finished, copied):
    """Settings that are none today, and metrics, results and an environment without what is recorded today."""
    run = copied(finished)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("\ntrain:\n", "\ntrain:\n  magic: 3\n"))
    (run / "metrics.jsonl").write_text('{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "loss": 0.25, "grazing": null}\n')
    (run / "result.json").write_text('{"test_accuracy": 0.5}')
    (run / "environment.json").unlink()
    page = Page(report(run).read_text(encoding="utf-8"))
    assert list(page.sections) == SECTIONS and "magic" in page.sections["result"]
    assert page.cells("result", "test accuracy") == ["50.00 %"]
    assert "not recorded" in page.sections["environment"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", "{}\n", r"metrics.jsonl, line 1 is no metrics of an epoch \('epoch'\)"),
        ("metrics.jsonl", "[1]\n", "metrics.jsonl, line 1 is no metrics of an epoch"),
        ("result.json", "{", "result.json is damaged"),
        ("environment.json", "[]", "environment.json is damaged"),
    ],
)
def test_damaged_files(name, content, message, finished, copied):
    run = copied(finished)
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        report(run)


def test_command(finished, tmp_path, capsys, quick):
    assert main(["report", str(finished), "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'page.html'}, 0.0 MB\n"
    assert main(["report", str(tmp_path)]) == 2
    assert "no run at" in capsys.readouterr().err


def opened(page, tmp_path):
    """The document after its script has run, in a browser without a network, and what the browser complained of."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    process = subprocess.run(
        [BROWSER, *options, f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return Page(process.stdout), [line for line in process.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("value", [0, 3])
def test_in_a_browser(value, written, tmp_path):
    """The slider shows one sample, and nothing is refused or fails."""
    moved = tmp_path / "page.html"
    moved.write_text(written.read_text(encoding="utf-8").replace('value="0"', f'value="{value}"'), encoding="utf-8")
    page, complaints = opened(moved, tmp_path / "profile")
    assert not complaints
    figures = [attributes for tag, attributes in page.tags if tag in ("section", "figure")]
    start = next(k for k, attributes in enumerate(figures) if attributes.get("id") == "samples")
    hidden = ["hidden" in attributes for attributes in figures[start + 1 : start + 9]]
    assert hidden == [k != value for k in range(8)]
    assert f"{value + 1} of 8" in page.sections["samples"]
    assert not any("hidden" in attributes for tag, attributes in page.tags if tag == "p")
