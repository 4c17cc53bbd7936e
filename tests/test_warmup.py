from saltation.kernels import (
    arrivals,
    binned,
    binned_backward,
    bins,
    neuron_major,
    neuron_major_backward,
    patches,
    readout,
    recurrent_sweep,
    recurrent_sweep_backward,
    sweep,
    sweep_backward,
)
from saltation.warmup import warmup


def test_warmup_compiles_every_kernel_that_is_called_from_python():
    assert warmup() > 0
    once = (
        arrivals.merge_spikes, binned.binned_forward, binned_backward.binned_backward, bins.split_delays,
        readout.readout_backward, readout.readout_forward, patches.count_seen, patches.list_seen,
        recurrent_sweep.recurrent_sweep_forward, recurrent_sweep_backward.recurrent_sweep_backward,
        sweep.sweep_forward, sweep_backward.sweep_backward,
    )  # fmt: skip
    for kernel in once:
        assert len(kernel.signatures) == 1, kernel  # and none twice, for another layout of its arrays
    for kernel, k in ((neuron_major.neuron_major_forward, 1), (neuron_major_backward.neuron_major_backward, 2)):
        # once for each kind of wiring, in argument k, and model
        kinds = [(types[k].types[0].instance_class, types[k + 2].instance_class) for types in kernel.signatures]
        assert len(kinds) == len(set(kinds)) >= 4
