"""Lengths in statuses: a value that is too long is cut when its model is built.

Texts come from Proxmox and FRR and lists from clusters of any size; one character too many and the API server refuses
the whole status, so that the object would keep its old one for ever. The models say how long each value may be; who
builds a status sorts what matters to the front, and need not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pve_evpn.api.types import ApiModel
from pve_evpn.text import one_line

_MORE = " ..."


@dataclass(frozen=True, slots=True)
class Cut:
    """Annotates a text or a list that is cut to ``most`` characters or entries. A text then ends in ``...``.

    A text is put on one line without control characters too, wherever it came from.
    """

    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.cut, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {**schema, "maxItems" if schema.get("type") == "array" else "maxLength": self.most}

    def cut(self, value: Any) -> Any:
        if isinstance(value, str):
            value = one_line(value)
            return value if len(value) <= self.most else value[: self.most - len(_MORE)] + _MORE
        if isinstance(value, list | tuple):
            return value[: self.most]
        return value


class Counted(ApiModel):
    """A model whose field ``truncated`` says how many entries its lists lost, unless its builder has said so."""

    @model_validator(mode="before")
    @classmethod
    def _count(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("truncated"):
            return values
        lost = sum(
            max(0, len(value) - most)
            for name, most in _lists(cls)
            if isinstance(value := values.get(name), list | tuple)
        )
        return {**values, "truncated": lost} if lost else values


@cache
def _lists(model: type[ApiModel]) -> tuple[tuple[str, int], ...]:
    """The lists of a model that are cut, by name and alias; none where it does not count them."""
    if "truncated" not in model.model_fields:
        return ()
    found = []
    for name, info in model.model_fields.items():
        for option in (info.annotation, *get_args(info.annotation)):
            kind, *notes = get_args(option) if get_origin(option) is Annotated else (option, *info.metadata)
            cuts = [note.most for note in notes if isinstance(note, Cut)]
            if cuts and get_origin(kind) is list:
                found += [(key, cuts[0]) for key in {name, info.alias or name}]
    return tuple(found)
