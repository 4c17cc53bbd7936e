"""Classes that torch walks through, as through tuples and dicts, to find the tensors in them."""

from dataclasses import fields
from typing import Any, TypeVar

from torch.utils import _pytree

Class = TypeVar("Class")


def walked(cls: type[Class]) -> type[Class]:
    """Decorator of a dataclass: makes it a node of torch's trees, whose numbers, and what is None, stay as they are.

    DistributedDataParallel(static_graph=True) knows only what it finds there; otherwise it would not average gradients,
    and not say so. Nothing is checked when torch puts an object together again.
    """

    def take_apart(value: Any) -> tuple[list[Any], Any]:
        content = {field.name: getattr(value, field.name) for field in fields(value)}
        numbers = {name: item for name, item in content.items() if item is None or isinstance(item, int | float)}
        inner = {name: item for name, item in content.items() if name not in numbers}
        return list(inner.values()), (tuple(inner), tuple(numbers.items()))

    def put_together(inner: Any, context: Any) -> Any:
        names, numbers = context
        made = cls.__new__(cls)
        for name, item in (*zip(names, inner, strict=True), *numbers):
            object.__setattr__(made, name, item)
        return made

    _pytree.register_pytree_node(cls, take_apart, put_together)
    return cls
