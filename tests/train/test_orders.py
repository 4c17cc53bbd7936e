import json

from saltation.train.orders import orders_of_work

NEURON = {"tau_mem": 2.0, "tau_syn": 1.0, "weights": {"drive": 2.0}}
LAYERS = [
    NEURON | {"conv": {"channels": 3, "kernel_size": 1}},
    NEURON | {"pool": 2, "size": 5, "recurrent": {}},
    NEURON | {"size": 4, "sparse": {"fan_in": 2}},
    NEURON | {"neuron": "li"},
]


def test_every_kind_of_layer(tmp_path):
    file = tmp_path / "example.yaml"
    content = {
        "data": {"name": "yin_yang", "options": {"publication": False, "sizes": [60, 20, 20]}},
        "model": {"image": [1, 2, 2], "layers": LAYERS},
        "loss": {"name": "readout"},
        "train": {"batch_size": 25},
    }
    file.write_text(json.dumps(content))
    assert [line.split(": ")[0] for line in orders_of_work(file)] == [
        "example",
        "  layer 0  12 LIF       event-major",
        "  layer 1  SumPool2d    not simulated",
        "  layer 2  5 LIF        recurrent event-major",
        "  layer 3  4 LIF        neuron-major",
        "  layer 4  3 LI         in closed form",
    ]
    assert orders_of_work(file)[0] == "example: orders of work for a batch of 25 training samples"
