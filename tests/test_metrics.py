"""NeuroBench's metrics, counted by hand."""

import pytest
import torch

import saltation as sal
from saltation import cli
from saltation.metrics import neurobench

NEURONS = {"tau_mem": 2.0, "tau_syn": 1.0}
# two samples of three inputs: two spikes of input 0, one of input 2; one of input 1
SPIKES = sal.Spikes.from_lists([[(0.0, 0), (0.3, 2), (0.7, 0)], [(0.2, 1)]], num_units=3, duration=1.0)


def silent(size):
    return sal.LIF(size, threshold=1e6, **NEURONS)


def linear(matrix, **options):
    weights = torch.tensor(matrix)
    connection = sal.Linear(weights.shape[1], weights.shape[0], **options)
    with torch.no_grad():
        connection.weight.copy_(weights)
    return connection


def test_the_example_of_neurobench():
    """Its documentation counts 4 effective operations of 9 for this matrix and the inputs 1 and 2."""
    connection = linear([[1.3, 0.0, -3.2], [0.0, 1.2, -5.1], [-1.1, 2.7, 0.0]])
    both = sal.Spikes.from_lists([[(0.1, 1), (0.2, 2)]], num_units=3, duration=1.0)
    found = neurobench(sal.Layer(connection, silent(3)), both, dt=1.0)
    assert found["synaptic_operations"] == {"Effective_MACs": 0.0, "Effective_ACs": 4.0, "Dense": 9.0}
    assert found["connection_sparsity"] == 3 / 9


def test_every_spike_counts_and_the_mean_is_over_samples():
    layer = sal.Layer(linear([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]), silent(2))
    # input 0 has 2 synapses and spikes twice, inputs 1 and 2 have 1 and spike once
    assert neurobench(layer, SPIKES)["synaptic_operations"]["Effective_ACs"] == (2 * 2 + 1 + 1) / 2
    halves = [SPIKES.sample(0), (SPIKES.sample(1), torch.tensor([0]))]
    assert neurobench(layer, halves, dt=0.25) == neurobench(layer, SPIKES, dt=0.25)


def test_activation_sparsity_by_steps():
    # three spikes of one neuron, at 0.1, 0.15 and 0.9: two of ten steps of 0.1, one of one step; neuron 1 is silent
    spikes = sal.Spikes.from_lists([[(0.1, 0), (0.15, 0), (0.9, 0)]], num_units=2, duration=1.0)
    layer = sal.Layer(linear([[1.0, 0.0], [0.0, 1.0]]), silent(2))
    workload = sal.metrics.Workload(layer, 0.1)
    result = sal.Result(spikes, None, torch.ones(3))
    workload.add(spikes, [result])
    found = workload.summary()
    assert found["activation_sparsity"] == pytest.approx(1 - 2 / 20, rel=1e-15)
    assert found["synaptic_operations"]["Dense"] == 4 * 10
    workload = sal.metrics.Workload(layer, 1.0)
    workload.add(spikes, [result])
    assert workload.summary()["activation_sparsity"] == 0.5


def test_without_steps():
    found = neurobench(sal.Layer(linear([[1.0, 1.0, 1.0]]), silent(1)), SPIKES)
    assert found["activation_sparsity"] is None and found["synaptic_operations"]["Dense"] is None
    assert found["synaptic_operations"]["Effective_ACs"] == 2.0


def test_own_spikes_go_through_the_recurrent_part():
    feedback = linear([[0.0, 1.0], [0.0, 1.0]])
    layer = sal.Layer(linear([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]), silent(2), recurrent=feedback)
    sent = sal.Spikes.from_lists([[(0.5, 0), (0.6, 1), (0.7, 1)], []], num_units=2, duration=1.0)
    workload = sal.metrics.Workload(layer, 1.0)
    workload.add(SPIKES, [sal.Result(sent, None, torch.ones(3))])
    found = workload.summary()["synaptic_operations"]
    assert found["Effective_ACs"] == (4 * 2 + 2 * 2) / 2 and found["Dense"] == 6 + 4


def test_terminals_skips_and_sparse_wiring():
    terminals = sal.Parallel(*(sal.Linear(3, 2, delay="axonal", max_delay=0.1) for _ in range(3)))
    found = neurobench(sal.Layer(terminals, silent(2)), SPIKES, dt=1.0)
    assert found["synaptic_operations"] == {"Effective_MACs": 0.0, "Effective_ACs": 4 * 6 / 2, "Dense": 18.0}
    beside = sal.Layer(sal.Beside(linear([[1.0, 1.0]]), linear([[1.0, 0.0, 1.0]])), silent(1))
    network = sal.Sequential(sal.Layer(linear([[1.0, 1.0, 1.0]] * 2), silent(2)), beside, beside={1: (0,)})
    assert neurobench(network, SPIKES)["synaptic_operations"]["Effective_ACs"] == (4 * 2 + 3) / 2
    wired = sal.Sparse(3, 2, torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]))
    with torch.no_grad():
        wired.weight.copy_(torch.tensor([1.0, 0.0, 1.0]))
    found = neurobench(sal.Layer(wired, silent(2)), SPIKES, dt=1.0)
    assert found["synaptic_operations"] == {"Effective_MACs": 0.0, "Effective_ACs": 3 / 2, "Dense": 6.0}
    assert found["connection_sparsity"] == pytest.approx(4 / 6)


def test_convolution_and_pool():
    """A kernel of 2 x 2 over 3 x 3 pixels: a corner is seen by one place, the centre by four; two channels."""
    image = sal.Conv2d((1, 3, 3), out_channels=2, kernel_size=2)
    pool = sal.SumPool2d(image.out_shape, 2)
    spikes = sal.Spikes.from_lists([[(0.1, 0), (0.2, 4)]], num_units=9, duration=1.0)
    network = sal.Sequential(sal.Layer(image, silent(2)), pool, sal.Layer(sal.Linear(2, 3), sal.LI(3, **NEURONS)))
    found = neurobench(network, spikes, dt=1.0)
    assert found["synaptic_operations"]["Effective_ACs"] == 2 * (1 + 4)
    assert found["synaptic_operations"]["Dense"] == 2 * 4 * 4 + 2 * 3
    assert found["activation_sparsity"] == 1.0 and found["parameter_count"] == 8 + 2 + 6
    feedback = linear([[1.0, 1.0], [0.0, 1.0]])  # within each of the four places
    workload = sal.metrics.Workload(sal.Layer(image, silent(2), recurrent=feedback), 1.0)
    sent = sal.Spikes.from_lists([[(0.3, 3), (0.4, 4)]], num_units=8, duration=1.0)  # channel 0 and channel 1
    workload.add(spikes, [sal.Result(sent, None, torch.ones(2))])
    assert workload.summary()["synaptic_operations"]["Effective_ACs"] == 10 + 1 + 2


def test_footprint_is_in_bytes():
    layer = sal.Layer(sal.Linear(3, 2, delay="axonal", max_delay=0.1), silent(2))
    found = neurobench(layer, SPIKES)
    tensors = [*layer.parameters(), *layer.buffers()]
    assert found["parameter_count"] == 6 + 3 + 2  # weights, delays, thresholds
    assert found["footprint"] == sum(len(tensor.detach().numpy().tobytes()) for tensor in tensors)


@pytest.mark.parametrize(
    ("data", "dt", "message"),
    [
        (SPIKES, 0.0, "dt = 0.0"),
        (SPIKES, 1e-12, "dt = 1e-12: too short for samples of 1, use a larger one"),
        ([], None, "there are no samples"),
    ],
)
def test_what_is_refused(data, dt, message):
    with pytest.raises(ValueError, match=message):
        neurobench(sal.Layer(linear([[1.0, 1.0, 1.0]]), silent(1)), data, dt)


def test_the_line_of_a_readout_alone():
    """Nothing spikes, so that there is no activation sparsity, with a time step neither."""
    readout = sal.Layer(linear([[1.0, 0.0, 1.0]]), sal.LI(1, tau_mem=2.0, tau_syn=1.0))
    found = neurobench(readout, SPIKES, dt=1.0)
    assert found["activation_sparsity"] is None and found["synaptic_operations"]["Dense"] > 0
    line = cli._neurobench(found)
    assert "(dense " in line and "activation" not in line
