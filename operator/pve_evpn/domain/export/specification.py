"""One Proxmox object as the spec of a manifest: the forms of ``domain.plan.render`` read backwards.

What an object specifies is adopted and kept; a property that no field can say is left out of the spec, stays in Proxmox
as it is, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from pve_evpn.api.types import ApiModel
from pve_evpn.domain.plan.render import Field, Form
from pve_evpn.domain.sdn import Canonical, SdnObject, SdnRef, canonical, show

SpecT = TypeVar("SpecT", bound=ApiModel)
#: Fields of a valid spec that the API server or the plan would refuse, and why; a path begins with a field's.
Rules = Callable[[Any], Iterable[tuple[str, str]]]


class CannotBeSaid(Exception):
    """The object has no manifest; the text says why."""


def specification(
    form: Form,
    obj: SdnObject,
    model: type[ApiModel],
    base: Mapping[str, Any],
    rules: Rules,
    name_of: Callable[[SdnRef], str | None],
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The spec that says what Proxmox has, and the properties it does not say, each with the reason.

    Args:
        base: What the spec has beside the properties: references, policies.
        rules: What the model does not check.
        name_of: The name of the Kubernetes object for a Proxmox object; None if there is none.

    Raises CannotBeSaid where a field that every such object needs cannot be said.
    """
    unsaid: list[tuple[str, str]] = [
        (key, f"{show(value)!r} has no field in this API") for key, value in sorted(obj.props.items())
        if key not in form.keys
    ]  # fmt: skip
    said: dict[str, tuple[Field, Any]] = {}
    for field in form.fields:
        if field.key in obj.props:
            value, why = _value(field, obj.props[field.key], name_of)
            if why:
                _give_up(field, why, unsaid)
            else:
                said[field.key] = field, value
    while True:
        spec = _composed(base, said.values())
        wrong = _first_problem(model, spec, rules) or _first_change(form, model, spec, obj.props, said)
        if wrong is None:
            return spec, unsaid
        path, why = wrong
        key = _culprit(path, why, said)
        if key is None:
            before = f" ({unsaid[-1][0]}: {unsaid[-1][1]})" if unsaid else ""
            raise CannotBeSaid((f"{path}: {why}" if path else why) + before)
        _give_up(said[key][0], f"{show(obj.props[key])!r}: {why}", unsaid)
        del said[key]


def _value(
    field: Field, value: Canonical, name_of: Callable[[SdnRef], str | None]
) -> tuple[Any, str]:  # the second is why there is none
    if field.refers is None:
        try:
            return field.back(value), ""
        except (ValueError, KeyError):
            return None, f"{show(value)!r} cannot be read"
    ids = (value,) if isinstance(value, str) else value
    names = {id_: name_of(SdnRef(field.refers, id_)) for id_ in ids}
    if missing := [id_ for id_, name in names.items() if name is None]:
        return None, f"{field.refers} {missing[0]} is not exported"
    refs = [{"name": names[id_]} for id_ in ids]
    return (refs[0] if isinstance(value, str) else refs), ""


def _give_up(field: Field, why: str, unsaid: list[tuple[str, str]]) -> None:
    if field.required:
        raise CannotBeSaid(f"{field.key}: {why}")
    unsaid.append((field.key, why))


def _composed(base: Mapping[str, Any], said: Iterable[tuple[Field, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = dict(base)
    for field, value in said:
        *above, last = map(to_camel, field.path.split("."))
        place = spec
        for step in above:
            place = place.setdefault(step, {})
        place[last] = value
    return spec


def _first_problem(model: type[ApiModel], spec: Mapping[str, Any], rules: Rules) -> tuple[str, str] | None:
    try:
        checked = model.model_validate(spec)
    except ValidationError as error:
        return in_words(dict(error.errors(include_url=False, include_input=False)[0]))
    return next(iter(rules(checked)), None)


def in_words(problem: Mapping[str, Any]) -> tuple[str, str]:
    """The path and the text of one of pydantic's problems."""
    path = ".".join(str(step) for step in problem["loc"] if isinstance(step, str))
    if problem["type"] == "missing":
        return path, f"{path} is not set"
    return path, str(problem["msg"]).removeprefix("Value error, ")


def _first_change(
    form: Form, model: type[ApiModel], spec: Mapping[str, Any], props: Mapping[str, Canonical], said: Iterable[str]
) -> tuple[str, str] | None:
    """A field whose value would not come back as Proxmox has it."""
    values = form.values(model.model_validate(spec))
    for field in form.fields:
        if field.key in said and field.key in values and canonical(field.key, values[field.key]) != props[field.key]:
            return ".".join(map(to_camel, field.path.split("."))), "it would be written otherwise"
    return None


def _culprit(path: str, why: str, said: Mapping[str, tuple[Field, Any]]) -> str | None:
    """The property to give up for a problem: the field at the path, below or beside it, or the one that is named."""
    steps = path.split(".")
    paths = {key: [to_camel(step) for step in field.path.split(".")] for key, (field, _) in said.items()}
    for length in range(len(steps), 0, -1):
        for key, own in paths.items():
            if own[:length] == steps[:length] or steps[: len(own)] == own:
                return key
    return next((key for key, own in paths.items() if own[-1] in why.split()), None)
