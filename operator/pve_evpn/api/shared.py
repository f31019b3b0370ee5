"""Equal models once in memory: thousands of objects say the same of the same nodes.

Most of what an object takes in memory is its status, and most of a status are conditions and rows that others have too.
"""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakValueDictionary

from pydantic import AfterValidator

from pve_evpn.api.types import ApiModel

ModelT = TypeVar("ModelT", bound=ApiModel)

#: By type and values; an entry goes with the last object that has the model.
_known: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


def shared(model: ModelT) -> ModelT:
    """The equal model that is in memory already, else this one. Models never change, so nobody can see the difference.

    A model with a list in it is not shared.
    """
    key = (type(model), *model.__dict__.values())
    try:
        known: ModelT = _known.setdefault(key, model)
    except TypeError:
        return model
    return known


#: Annotates the type of a field whose values are shared.
SHARED = AfterValidator(shared)
