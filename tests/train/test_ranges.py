"""Every number of a recipe has a range, every text is taken as it stands, and every file is read in bounded time."""

import math
import re
import time
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import numpy as np
import pytest

from saltation import SpikeBudgetError
from saltation.train import load_config, train
from saltation.train.checks import check_config, check_numbers
from saltation.train.config import (
    BumpConfig,
    Config,
    CountsConfig,
    DataConfig,
    LearningRates,
    ModelConfig,
    TrainConfig,
)
from saltation.train.hardware import HardwareConfig
from saltation.train.layers import (
    NEURONS,
    BesideConfig,
    ConvConfig,
    LayerConfig,
    RecurrentConfig,
    SparseConfig,
    WeightConfig,
)
from saltation.train.loss import LOSSES, LossConfig
from saltation.train.model import make_model
from saltation.train.ranges import Range
from saltation.train.recipes import parse_overrides


def network(neuron):
    """A network with such neurons in its first layer, or in its last."""
    if neuron == "li":
        return {"model.layers": [{"size": 3}, {"neuron": "li"}], "loss": {"name": "readout"}}
    return {"model.layers": [{"neuron": neuron, "size": 3}, {}]}


def kind_of_number(hint):
    """int or float where a hint says so, in a list or not; None for others."""
    kinds = {kind for part in (hint, *get_args(hint)) for kind in (part, *get_args(part))}
    return next((kind for kind in (int, float) if kind in kinds), None)


LAYER = "model.layers.0"
SECTIONS = [  # where one is, what it is, and the settings with which it is there
    ("", Config, {}),
    ("data.", DataConfig, {}),
    ("model.", ModelConfig, {}),
    (f"{LAYER}.weights.", WeightConfig, {}),
    (f"{LAYER}.recurrent.", RecurrentConfig, {f"{LAYER}.recurrent": {}}),
    (f"{LAYER}.sparse.", SparseConfig, {f"{LAYER}.sparse": {"fan_in": 1}}),
    (f"{LAYER}.conv.", ConvConfig, {LAYER: {"conv": {}, "size": None, "delay": "none"}}),
    ("model.layers.1.beside.0.", BesideConfig, {"model.layers.1.beside": [{}]}),
    ("train.", TrainConfig, {}),
    ("train.lr.", LearningRates, {}),
    ("train.bump.", BumpConfig, {}),
    ("train.counts.", CountsConfig, {}),
    ("train.hardware.", HardwareConfig, {"train.hardware": {"weight_bits": 4}}),
]
KINDS = [
    *((f"model.layers.{int(name == 'li')}.", kind, network(name)) for name, kind in NEURONS.items()),
    *(
        ("loss.", kind, (network("li") if kind.of_readout else {}) | {"loss": {"name": name}})
        for name, kind in LOSSES.items()
    ),
]
NUMBERS = [
    pytest.param(prefix + entry.name, entry, number, base, id=f"{section.__name__}.{entry.name}")
    for prefix, section, base in (*SECTIONS, *KINDS)
    for entry in fields(section)
    if (number := kind_of_number(get_type_hints(section)[entry.name]))
]


def test_no_section_is_forgotten():
    def below(section):
        for hint in get_type_hints(section).values():
            for kind in (hint, *get_args(hint)):
                if is_dataclass(kind):
                    yield from (kind, *below(kind))

    known = {Config, *below(Config), *(kind for section in NEURONS.values() for kind in (section, *below(section)))}
    known |= set(LOSSES.values())
    assert known - {LayerConfig, LossConfig} == {section for _, section, _ in (*SECTIONS, *KINDS)} and len(NUMBERS) > 90


@pytest.mark.parametrize(("key", "entry", "number", "base"), NUMBERS)
def test_every_number_has_a_range(key, entry, number, base):
    legal = entry.metadata["range"]
    assert isinstance(legal, Range)
    whole, many = number is int, "list" in str(entry.type)
    bad = [legal.low - 1, legal.high + 1] if whole else [math.nan, -math.inf]
    bad += [] if whole or legal.infinite else [math.inf]
    bad += [legal.low - 0.5] if not whole and math.isfinite(legal.low) else []
    bad += [legal.low] if legal.low_open else []
    bad += [legal.high] if legal.high_open else []
    settings = {"name": "x", **network("lif"), "loss": {"name": "shift_invariant"}} | base
    config = load_config("digits", settings)
    owner = config
    for part in key.split(".")[:-1]:
        owner = owner[int(part)] if part.isdigit() else getattr(owner, part)
    for value in bad:
        setattr(owner, entry.name, [value, value] if many else value)
        with pytest.raises(ValueError) as caught:
            check_numbers("", config)
        assert str(caught.value).startswith(f"{key} is ") and str(caught.value).endswith(f"it must be {legal}")
    with pytest.raises(ValueError, match=re.escape(key)):
        load_config("digits", {**settings, key: [bad[0]] * 2 if many else bad[0]})


@pytest.mark.parametrize("key", ["train.lr.weight", "train.epochs", "model.layers.0.tau_adapt", "seed"])
@pytest.mark.parametrize("value", [10**400, "1e400", "x", True, {}, [1], b"1", np.float64(0.5)])
def test_numbers_of_other_types(key, value):
    with pytest.raises(ValueError, match=re.escape(key)):
        load_config("yin_yang", {key: value})


def test_ranges_say_what_they_are():
    assert str(Range(0, low_open=True)) == "> 0 and finite" and str(Range(1, 10)) == ">= 1 and <= 10"
    assert str(Range(0, infinite=True)) == ">= 0" and str(Range()) == "a number and finite"
    assert math.inf in Range(0, infinite=True) and math.inf not in Range(0) and math.nan not in Range()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.betas": [0.9]}, r"train.betas is \[0.9\]; give two numbers"),
        ({"model.image": [1, 2]}, r"model.image is \[1, 2\]; give three numbers"),
        ({"model.layers.0.delay_init": [0.5, 0.1]}, r"delay_init is \[0.5, 0.1\]; give two numbers, \[low, high\]"),
        (
            {"train.lr": 1e-3},
            "--train.lr is 0.001, but it is a section; set one of its keys: train.lr.weight",
        ),
        ({"train": 3}, "--train is 3, but it is a section"),
        ({"model.layers": 3}, "--model.layers is 3, but it is a list of sections"),
        ({"": 3}, "Key '' not in 'Config'; it has name, seed"),
        ({"model.layers.²": {}}, "--model.layers.² {} has no place in yin_yang.yaml"),
        ({"model.layers.-3": {}}, "--model.layers.-3 {} has no place in yin_yang.yaml"),
        ({"train.epochs": "x" * 9999}, "^.{0,400}$"),
        ({"x" * 9999: "x" * 9999}, "^.{0,600}$"),
        ({"model.layers.0.tau_mem": [1] * 9999}, "^.{0,400}$"),
        ({"train.betas": [0.5] * 9999}, "^.{0,200}$"),
    ],
)
def test_wrong_shapes(changes, message):
    with pytest.raises(ValueError, match=message):
        load_config("yin_yang", changes)


@pytest.mark.parametrize("name", ["../../x", "a/b", "/tmp/x", "..", ".", "", " ", "a\\b", "a ", "x" * 101, "é" * 51])
def test_a_name_is_that_of_a_folder(name):
    with pytest.raises(ValueError, match="name is .*without path separators, of at most 100 bytes; .* use --out"):
        load_config("yin_yang", {"name": name})
    assert load_config("yin_yang", {"name": "a.b-ü c"}).name == "a.b-ü c"


@pytest.mark.parametrize(
    "key", ["name", "data.path", "data.root", "data.options.x", "loss.name", "model.layers.0.delay"]
)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${oc.env:HOME}", "asks for a value from elsewhere"),
        ("a${name}", "asks for a value from elsewhere"),
        (r"\${name}", "asks for a value from elsewhere"),
        ("???", "a value left open"),
        ("a\0b", "holds control characters"),
        ("a\x1b[31m", "holds control characters"),
        ("a\nb", "holds control characters"),
        ("a\ud800", "holds control characters"),
    ],
)
def test_text_is_taken_as_it_stands(key, text, message):
    with pytest.raises(ValueError, match=message):
        load_config("yin_yang", {key: text})
    with pytest.raises(ValueError, match=message):
        load_config("yin_yang", {"data.options": {"a": [{"b": text}]}})


def test_a_recipe_resolves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    file = tmp_path / "a.yaml"
    for line in ("name: ${oc.env:SECRET}", "data: {options: {'${oc.env:SECRET}': 1}}", "train: {epochs: '${seed}'}"):
        file.write_text(line + "\nmodel: {layers: [{}]}\n")
        with pytest.raises(ValueError, match="asks for a value from elsewhere") as caught:
            load_config(file)
        assert "hunter2" not in str(caught.value)


def test_a_configuration_made_in_python_is_checked_too(tmp_path, tiny):
    for key, value in (("name", "${oc.env:HOME}"), ("seed", "x"), ("name", "../x")):
        config = tiny()
        setattr(config, key, value)
        with pytest.raises(ValueError):
            train(config, tmp_path / "run", quiet=True)
    config = tiny()
    config.train.lr.readout = -1.0
    with pytest.raises(ValueError, match="train.lr.readout is -1.0; it must be >= 0"):
        check_config(config)
    assert not (tmp_path / "run").exists()


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 18))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 18))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "nested more than 20 deep|more than 10000 values once its aliases are written out"),
        ("a0: &a0 [" + "x, " * 99 + "]\na1: &a1 [" + "*a0, " * 99 + "]\na2: [" + "*a1, " * 99 + "]", "more than 10000"),
        ("a0: &a0 {x: 1}\na1: &a1 {<<: [" + "*a0, " * 200 + "]}\na2: {<<: [" + "*a1, " * 200 + "]}", "more than 10000"),
        (MERGED, "nested more than 20 deep|more than 10000 values"),
        ("data: {options: {a: " + "[" * 100 + "]" * 100 + "}}", "nested more than 20 deep"),
        ("[" * 100_000, "nested more than 20 deep"),
        ("a: &a [*a]", "nested more than 20 deep, or contains itself"),
        ("a: &a {b: *a}", "nested more than 20 deep, or contains itself"),
        ("# " + "x" * (1 << 18), "characters; a recipe has at most 262144"),
        ("seed: " + "9" * 5000, "not a recipe|not valid YAML|more than 63 bits|Exceeds the limit"),
        ("seed: 99999999999999999999", "seed is a whole number of more than 63 bits"),
        ("data: {options: {1: 2}}", "the key 1 is not text"),
        ("data: {options: {a: !!binary aGFsbG8=}}", "a bytes; use numbers, text, lists and mappings"),
        ("data: {options: {a: !!set {b}}}", "a set; use numbers"),
        ("data: {options: {a: !!python/object/apply:os.system [ls]}}", "is not valid YAML"),
        ("? [a]\n: b", "is not valid YAML|not text"),
        ("a: 0b_", "."),
        ("a: !!float x", "."),
        ("a: !!int {}", "."),
        ("a: !!timestamp x", "."),
        ("---\na: 1\n---\nb: 2", "is not valid YAML"),
        ("seed: 1\nname: x\nseed: 2", "the key 'seed' is there twice in one section; leave one out"),
    ],
)
def test_hostile_recipes(tmp_path, text, message):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    begun = time.process_time()
    with pytest.raises(ValueError, match=message):
        load_config(file)
    assert time.process_time() - begun < 5


def test_recipes_that_are_no_text(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="a.yaml is not a recipe: it is not text in UTF-8"):
        load_config(file)
    with pytest.raises(FileNotFoundError, match="no recipe named"):
        load_config(tmp_path)
    with pytest.raises((FileNotFoundError, ValueError)):
        load_config("a\0b")


def test_values_of_the_command_line():
    values = parse_overrides(["--a", "2026-01-01", "--b", "1e-3", "--c", "{x", "--d", "[1, a]", "--e", ""])
    assert values == {"a": "2026-01-01", "b": 1e-3, "c": "{x", "d": [1, "a"], "e": None}
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        parse_overrides(["--a", "[" * 1000])


def test_the_budget_of_spikes_can_be_set(tiny, tmp_path):
    busy = {"model__layers__0__weights__mean": 100.0, "model__layers__0__refractory": 0.1}
    with pytest.raises(SpikeBudgetError, match="max_spikes"):
        train(tiny(model__layers__0__max_spikes=3, **busy), tmp_path / "a", quiet=True)
    for recipe in ("yin_yang", "yin_yang_qif"):
        config = load_config(recipe, {"model.layers.0.max_spikes": 7, "model.layers.1.max_spikes": None})
        budgets = [layer.max_spikes for layer in make_model(config.model, 4, 3)]
        assert budgets[0] == 7 < budgets[1]
