"""All validation of what a user passes in. The code below this border assumes clean input.

Every message quotes the value, says what is legal and what to do.
"""

import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)
UNITS_DIFFER = 5e3  # a factor between times that tells of different units
LONGEST_QUOTE = 120  # characters of a user's value in a message
LARGEST_SIZE = 2**31 - 1  # so that products of two sizes are int64


def shown(value: Any) -> str:
    """A value as messages quote it, cut where it is long."""
    return cut(repr(value))


def cut(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Text for a message, without its middle if it is long."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def require(condition: bool, message: str) -> None:
    """Raise ValueError(message) unless `condition`."""
    if not condition:
        raise ValueError(message)


def whole_number(value: Any, name: str, low: int = 1) -> int:
    """A whole number from `low` >= 0 to LARGEST_SIZE, also of an integer type of NumPy."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    legal = low <= number <= LARGEST_SIZE and not isinstance(value, bool)
    require(legal, f"{name} = {shown(value)}: must be a whole number >= {low}, at most {LARGEST_SIZE}")
    return number


def finite_number(
    value: Any, name: str, *, low: float = -math.inf, strict: bool = False, inf_ok: bool = False
) -> float:
    """A real number of any type but text, by default finite, >= low (> low if strict)."""
    try:
        number = float("text" if isinstance(value, (str, bytes)) else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name} = {shown(value)}: must be a number") from None
    require(not math.isnan(number) and (inf_ok or math.isfinite(number)), f"{name} = {shown(value)}: must be finite")
    relation = ">" if strict else ">="
    legal = number > low if strict else number >= low
    require(legal, f"{name} = {shown(value)}: must be {relation} {low:g}")
    return number


def fraction(value: Any, name: str, all_ok: bool = False) -> float:
    """A number in [0, 1), or in [0, 1] if all_ok."""
    number = finite_number(value, name, low=0.0)
    legal = number <= 1.0 if all_ok else number < 1.0
    require(legal, f"{name} = {shown(value)}: must be within [0, 1{']' if all_ok else ')'}")
    return number


def floating(tensor: Tensor, name: str) -> None:
    """float32 or float64, on the CPU."""
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{name} has dtype {tensor.dtype}: use float32 or float64, for example {name}.double()")
    plain_tensor(tensor, name)


def plain_tensor(tensor: Tensor, name: str) -> None:
    """Dense, on the CPU."""
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} is a tensor of layout {tensor.layout}: must be dense; use {name}.to_dense()")
    on_cpu(tensor, name)


def on_cpu(tensor: Tensor, name: str) -> None:
    """Where there are kernels."""
    if tensor.device.type != "cpu":
        raise ValueError(
            f"{name} is on {tensor.device}: saltation computes on the CPU; move it there, or the module that holds it, "
            "by its .cpu()"
        )


def first_bad(mask: Tensor) -> tuple[int, ...]:
    """Index of the first True."""
    return tuple(int(i) for i in mask.nonzero()[0])


def sample_of(index: int, offsets: Tensor) -> int:
    """The sample that event `index` belongs to."""
    return int(torch.searchsorted(offsets, index, right=True)) - 1


def spikes(times: Tensor, units: Tensor, offsets: Tensor, num_units: int, duration: float) -> None:
    """All that must hold for the fields of `Spikes`."""
    for name, tensor in (("times", times), ("units", units), ("offsets", offsets)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} is {type(tensor).__name__}: pass a torch tensor, for example torch.tensor({name})")
        require(tensor.dim() == 1, f"{name} has shape {tuple(tensor.shape)}: must have one dimension")
        plain_tensor(tensor, name)
    if times.dtype != torch.float64:
        raise TypeError(f"times has dtype {times.dtype}: spike times are float64; use times.double()")
    for name, tensor in (("units", units), ("offsets", offsets)):
        if tensor.dtype != torch.int64:
            raise TypeError(f"{name} has dtype {tensor.dtype}: must be int64; use {name}.long()")
    whole_number(num_units, "num_units")
    duration = finite_number(duration, "duration", low=0.0, strict=True)
    E = times.numel()
    require(units.numel() == E, f"times has {E} events but units has {units.numel()}: they must be as long")
    require(offsets.numel() >= 1, "offsets is empty: it needs one entry more than there are samples, and starts with 0")
    steps = offsets.diff()
    require(
        int(offsets[0]) == 0 and int(offsets[-1]) == E and bool((steps >= 0).all()),
        f"offsets = {offsets.tolist()[:8]}{'...' if offsets.numel() > 8 else ''}: must rise from 0 to {E}, "
        "the number of events",
    )
    if E == 0:
        return
    t = times.detach()
    if not (float(t.min()) >= 0.0 and float(t.max()) <= duration):  # nor are these true if a time is nan
        (k,) = first_bad(~((t >= 0.0) & (t <= duration)))
        raise ValueError(
            f"times[{k}] = {t[k].item()} (sample {sample_of(k, offsets)}): must be finite and within "
            f"[0, duration] = [0, {duration:g}]; shift the times or make the duration longer"
        )
    if int(units.min()) < 0 or int(units.max()) >= num_units:
        (k,) = first_bad((units < 0) | (units >= num_units))
        raise ValueError(
            f"units[{k}] = {units[k].item()} (sample {sample_of(k, offsets)}): must be within 0 ... {num_units - 1}, "
            f"since num_units = {num_units}"
        )
    falls = t[1:] < t[:-1]
    inner = offsets[1:-1]
    falls[inner[(inner > 0) & (inner < E)] - 1] = False  # a new sample may start earlier
    if bool(falls.any()):
        (k,) = first_bad(falls)
        raise ValueError(
            f"times[{k + 1}] = {t[k + 1].item()} comes after times[{k}] = {t[k].item()} in sample "
            f"{sample_of(k, offsets)}: times must be sorted within a sample; Spikes.from_lists sorts for you"
        )


def neuron_parameter(name: str, value: Any, size: int) -> Tensor:
    """A float tensor of shape () or (size,). Python numbers become float64."""
    if isinstance(value, Tensor) and value.requires_grad:
        raise ValueError(
            f"{name} is a tensor that is trained, but neurons keep a copy, which would not be: pass {name}.detach(), "
            f"and name it in train=({shown(name)},) to train the neurons' own"
        )
    try:
        tensor = value.detach().clone() if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{name} = {shown(value)}: must be a number or a tensor of shape ({size},)") from None
    if not tensor.dtype.is_floating_point:
        tensor = tensor.double()
    floating(tensor, name)
    require(
        tuple(tensor.shape) in ((), (size,)),
        f"{name} has shape {tuple(tensor.shape)}: must be a number or have shape ({size},), one value per neuron",
    )
    return tensor


def legal_values(name: str, value: Tensor, legal: Tensor, rule: str) -> None:
    """Raise unless `legal` is True everywhere."""
    on_cpu(value, name)
    if not bool(legal.all()):
        where = first_bad(~legal)
        bad = value.detach().expand(legal.shape)[where].item()
        at = f"{name}[{', '.join(map(str, where))}]" if legal.numel() > 1 else name
        raise ValueError(
            f"{at} = {bad:g}: {rule}. If training moved it there, call constrain_() after each optimiser step "
            "or lower its learning rate"
        )


def bounded(name: str, value: Tensor, limit: float, rule: str) -> None:
    """Raise unless all are within (-limit, limit); on the CPU."""
    if value.numel():
        low, high = torch.aminmax(value.detach())  # nan if one is, and then neither comparison is true
        if not (-limit < float(low) and float(high) < limit):
            legal_values(name, value, value.abs() < limit, rule)


def time_scales(taus: Sequence[Tensor], duration: float) -> None:
    """Warn if a recording and the time constants of membranes and synapses hardly have the same unit of time.

    They do if the recording is not 5,000 times longer than the longest time constant of membranes and synapses, nor
    5,000 times shorter than the shortest: ten seconds beside 5 ms are no mistake.
    """
    shortest = min(float(tau.detach().min()) for tau in taus)
    longest = max(float(tau.detach().max()) for tau in taus)
    if duration > UNITS_DIFFER * longest or duration < shortest / UNITS_DIFFER:
        warnings.warn(
            f"the samples are {duration:g} long, but tau_mem and tau_syn go from {shortest:g} to {longest:g}: are both "
            "in the same unit of time? Events in microseconds beside time constants in seconds do not learn; divide "
            "the times by 1e6",
            stacklevel=2,
        )


def width(expected: int, got: int, what: str) -> None:
    """Matching layer sizes."""
    require(got == expected, f"{what}: got {got} units, expected {expected}")


def labels(values: Tensor, num_samples: int, num_classes: int) -> None:
    """int64 class indices of shape (B,)."""
    if not isinstance(values, Tensor):
        raise TypeError(f"labels is {type(values).__name__}: pass an int64 tensor, for example torch.tensor(labels)")
    hint = ""
    if values.dim() == 2 and values.shape[0] == num_samples:
        hint = "; use labels.flatten()" if values.shape[1] == 1 else "; of one-hot labels take labels.argmax(1)"
    require(
        tuple(values.shape) == (num_samples,),
        f"labels has shape {tuple(values.shape)}: must be ({num_samples},), the class of each sample{hint}",
    )
    plain_tensor(values, "labels")
    if values.dtype != torch.int64:
        raise TypeError(f"labels has dtype {values.dtype}: must be int64; use labels.long()")
    if values.numel():
        low, high = int(values.min()), int(values.max())
        require(
            low >= 0 and high < num_classes,
            f"labels go from {low} to {high}: must be within 0 ... {num_classes - 1}, one class per output"
            + ("; classes count from 0: use labels - 1" if low == 1 and high == num_classes else ""),
        )


def generator(value: Any) -> None:
    """A source of randomness; None is torch's global one, as in torch's own modules."""
    if value is None:
        return
    if not isinstance(value, torch.Generator):
        raise TypeError(
            f"generator = {shown(value)}: pass one, for example torch.Generator().manual_seed(0), or None for "
            "torch's own"
        )
    require(value.device.type == "cpu", f"generator is on {value.device}: saltation draws on the CPU")
