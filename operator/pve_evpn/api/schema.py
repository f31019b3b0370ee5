"""CustomResourceDefinitions from the models: structural schemas, as the API server demands them.

pydantic speaks JSON Schema 2020-12, Kubernetes a strict subset of OpenAPI 3.0: no references, no unions, no null, no
titles. This module closes that gap and nothing else; what the schemas say is in the models.

    python -m pve_evpn.api.schema crds/            write one file per kind
    python -m pve_evpn.api.schema --check crds/    exit 1 if a file is not what would be written
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pve_evpn.api.conditions import NEVER, Condition, ConditionType, Reason
from pve_evpn.api.kinds import CATEGORY, GROUP, KINDS, VERSION, Column, Kind
from pve_evpn.api.rules import VALIDATIONS
from pve_evpn.api.types import ApiModel

Schema = dict[str, Any]

#: ``default``: in a spec the API server would write it into stored objects, and into entries of lists, where GitOps
#: tools then see a difference for ever. The models apply defaults; the descriptions promise them.
_DROPPED = frozenset({"default", "title", "examples"})
_IMPOSSIBLE = frozenset({"allOf", "oneOf", "prefixItems", "uniqueItems", "discriminator", "patternProperties"})


def structural(model: type[ApiModel]) -> Schema:
    """The model as a structural schema. Raises TypeError for what Kubernetes cannot express."""
    schema = model.model_json_schema(by_alias=True)
    return _Walker(schema.pop("$defs", {})).walk(schema, ())


def default_status(kind: Kind) -> Schema:
    """The status the API server gives an object that the operator has not reported yet.

    Tools that wait for conditions (Flux, Argo CD, ``kubectl wait``) would otherwise take a new object for a finished
    one, and the operator would have to write that it is not. No tool compares statuses with Git.
    """
    types = kind.conditions
    if ConditionType.ACCEPTED in types:
        types = (*types, ConditionType.RECONCILING)
    return {"conditions": [_pending(type_) for type_ in types]}


def _pending(type_: ConditionType) -> Schema:
    condition = Condition(
        type=type_.value,
        status="True" if type_ is ConditionType.RECONCILING else "Unknown",
        reason=Reason.PENDING.value,
        message="waiting for the operator",
        last_transition_time=NEVER,
    )
    return condition.model_dump(mode="json", by_alias=True, exclude_none=True)


def _status_schema(kind: Kind) -> Schema:
    """The status with its default. Conditions have their own, for objects whose status holds something else only."""
    schema = structural(kind.status_model)
    for name, value in default_status(kind).items():
        schema["properties"][name]["default"] = value
    return {**schema, "default": {}}


class _Walker:
    """Rewrites one JSON Schema, with its definitions inlined."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def walk(self, node: Mapping[str, Any], inside: tuple[str, ...]) -> Schema:
        """``inside`` are the definitions being inlined: recursion has no structural form."""
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                name = node["$ref"].rsplit("/", 1)[1]
                if name in inside:
                    raise TypeError(f"{name} contains itself")
                inside = (*inside, name)
                node = _merged(self._definitions[name], node, without="$ref")
            else:
                node = _merged(_not_null(node["anyOf"]), node, without="anyOf")
        if impossible := _IMPOSSIBLE & node.keys():
            raise TypeError(f"no structural form for {', '.join(sorted(impossible))}")
        made = {key: value for key, value in node.items() if key not in _DROPPED}
        if "const" in made:
            made["enum"] = [made.pop("const")]
        for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if bound in made:
                made[limit], made[bound] = made[bound], True
        if made.get("type") == "integer":
            made.setdefault("format", "int64")
        if "description" in made:
            made["description"] = " ".join(inspect.cleandoc(made["description"]).split("\n\n")[0].split())
        return self._children(made, inside)

    def _children(self, made: Schema, inside: tuple[str, ...]) -> Schema:
        if "properties" in made:
            made.pop("additionalProperties", None)  # the API server prunes what is not named
            made["properties"] = {name: self.walk(child, inside) for name, child in made["properties"].items()}
        for key, limit in (("items", "maxItems"), ("additionalProperties", "maxProperties")):
            if isinstance(made.get(key), Mapping):
                made[key] = self.walk(made[key], inside)
                if limit not in made:
                    raise TypeError(f"{limit} is missing: {made.get('description')}")
        return made


def _merged(below: Mapping[str, Any], above: Mapping[str, Any], *, without: str) -> Schema:
    """A definition with what is said where it is used: texts replace, rules add up."""
    merged = {**below, **above}
    del merged[without]
    if both := [*below.get(VALIDATIONS, ()), *above.get(VALIDATIONS, ())]:
        merged[VALIDATIONS] = both
    return merged


def _not_null(options: list[Schema]) -> Schema:
    """``X | None`` is an optional X; other unions have no structural form."""
    real = [option for option in options if option.get("type") != "null"]
    if len(real) != 1:
        raise TypeError(f"a union of {len(real)} types has no structural schema")
    return real[0]


def crd(kind: Kind) -> Schema:
    """One whole CustomResourceDefinition."""
    schema: Schema = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec_model),
            "status": _status_schema(kind),
        },
    }
    if kind.rules:
        schema[VALIDATIONS] = [rule.as_schema() for rule in kind.rules]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def _column(column: Column) -> Schema:
    made: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        made["description"] = column.description
    if column.priority:
        made["priority"] = column.priority
    return made


def render() -> dict[str, str]:
    """File name to content, for all kinds."""
    head = "# Generated by `python -m pve_evpn.api.schema crds/`; change the models instead.\n"
    return {
        f"{GROUP}_{kind.plural}.yaml": head + yaml.safe_dump(crd(kind), sort_keys=False, width=110, allow_unicode=True)
        for kind in KINDS.values()
    }


def stale(directory: Path) -> list[str]:
    """Names of files in ``directory`` that are not what :func:`render` makes, or that it would not make at all."""
    wanted = render()
    there = {path.name: path.read_text() for path in directory.glob("*.yaml")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pve_evpn.api.schema", description="Write the CRDs.")
    parser.add_argument("--check", action="store_true", help="only say whether the files are current")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(argv)
    outdated = stale(args.directory)
    for name in outdated:
        sys.stdout.write(f"{'stale' if args.check else 'writing'} {name}\n")
    if args.check:
        return 1 if outdated else 0
    for name, text in render().items():
        (args.directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
