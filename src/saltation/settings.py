"""What the tensors of a module mean, kept with them in its `state_dict`."""

import json
from typing import Any

import torch
from torch import Tensor, nn


class WithSettings(nn.Module):
    """A module whose tensors mean something only together with settings: a delay as a fraction of `max_delay`, say.

    The settings lie in the state dict as one more tensor, the bytes of a JSON text. Loading them into a module with
    others is an error, as torch's own of a tensor of another shape.
    """

    def settings(self) -> dict[str, Any]:
        """Names and values, as JSON holds them."""
        return {}

    def own(self, name: str) -> nn.Parameter:
        """The parameter `name`, to be written to. Raises ValueError if it is computed from others."""
        parameter = self._parameters.get(name)
        if parameter is None:
            raise ValueError(
                f"the {name} of this {type(self).__name__} is computed, by pruning, weight_norm or another "
                "parametrization, so that what is written to it would be lost; write to it before, or make it a "
                "parameter again (torch.nn.utils.prune.remove, parametrize.remove_parametrizations)"
            )
        return parameter

    def remedy(self, name: str, saved: str, prefix: str) -> str:
        """What to do where a setting is another than the one saved, in a state dict in which names start so."""
        return f"create it with {name} {saved}"

    def get_extra_state(self) -> Tensor:
        """The settings as a tensor, which any format of tensors can hold."""
        return torch.tensor(list(json.dumps(self.settings()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: they have been compared, and are as they were made."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        saved, errors = state_dict.get(prefix + "_extra_state"), rest[-1]
        if saved is not None:
            try:
                theirs = json.loads(bytes(saved.tolist()))
            except (ValueError, AttributeError, TypeError):
                errors.append(f"{prefix}_extra_state is damaged: it must hold the bytes of a JSON text")
                return
            before = len(errors)
            ours = json.loads(json.dumps(self.settings()))
            for name in sorted(ours.keys() | theirs.keys()):
                left, right = (repr(values[name]) if name in values else "none" for values in (theirs, ours))
                if left != right:
                    errors.append(
                        f"{prefix.removesuffix('.') or type(self).__name__} was saved with {name} {left}, this one "
                        f"has {right}: its tensors would mean something else; {self.remedy(name, left, prefix)}"
                    )
            if len(errors) > before:
                return
        super()._load_from_state_dict(state_dict, prefix, *rest)
