from saltation.kernels import (
    arrivals,
    backward,
    binned,
    binned_backward,
    bins,
    forward,
    patches,
    readout,
    recurrent,
    recurrent_backward,
    recurrent_sweep,
    recurrent_sweep_backward,
    reset,
    sparse,
    sweep,
    sweep_backward,
)
from saltation.warmup import warmup


def test_warmup_compiles_every_kernel_that_is_called_from_python():
    assert warmup() > 0
    for kernel in (
        arrivals.merge_spikes, backward.lif_backward, binned.binned_forward, binned_backward.binned_backward,
        bins.split_delays, forward.lif_forward, readout.readout_backward, readout.readout_forward,
        patches.count_seen, patches.list_seen,
        recurrent.recurrent_forward, recurrent_backward.recurrent_backward, recurrent_sweep.recurrent_sweep_forward,
        recurrent_sweep_backward.recurrent_sweep_backward, reset.spike_slopes,
        sparse.sparse_backward, sparse.sparse_forward,
        sweep.sweep_forward, sweep_backward.sweep_backward,
    ):  # fmt: skip
        assert len(kernel.signatures) == 1, kernel  # and none twice, for another layout of its arrays
