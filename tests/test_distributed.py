"""Data-parallel training: torch's DistributedDataParallel finds the tensors in what layers return."""

import pytest
import torch
import torch.multiprocessing
from data_parallel import PROCESSES, RETURNS, STEPS, Network, gradients, halves, in_process, loss_of


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    torch.multiprocessing.spawn(in_process, (str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / str(rank)) for rank in range(PROCESSES)]


def check(found, case, returns, used):
    """The gradients found in every process against those of one process that sees all samples."""
    model = Network(returns)
    for spikes, with_extra in zip(halves(), used, strict=True):
        (loss_of(model(spikes, with_extra), returns) / PROCESSES).backward()
    expected = gradients(model)
    assert expected["hidden.connection.weight"] is not None
    assert (expected["extra.connection.weight"] is None) == (not any(used))
    for one in found:
        assert one[case].keys() == expected.keys()
        for name, value in expected.items():
            assert (one[case][name] is None) == (value is None), name
            if value is not None:
                got = torch.tensor(one[case][name], dtype=torch.float64)
                torch.testing.assert_close(got, torch.tensor(value, dtype=torch.float64), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("returns", RETURNS)
def test_parameters_that_a_step_leaves_out(found, returns, step):
    check(found, (returns, step, "find_unused_parameters"), returns, STEPS[step])


@pytest.mark.parametrize("step", range(2))  # the first one differs, with a static graph
@pytest.mark.parametrize("options", [(), ("static_graph",)])
@pytest.mark.parametrize("returns", RETURNS)
def test_all_parameters_are_used(found, returns, options, step):
    check(found, (returns, step, *options), returns, STEPS[0])
