"""The committed CRDs and the field reference are what the models say, and structural as Kubernetes demands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, Field

from pve_evpn.api import reference
from pve_evpn.api import schema as crds
from pve_evpn.api.kinds import CATEGORY, KINDS
from pve_evpn.api.rules import VALIDATIONS, Rule, rules
from pve_evpn.api.types import ApiModel
from pve_evpn.domain.plan.render import FORMS

ROOT = Path(__file__).parents[3]
Schema = dict[str, Any]


def walk(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema node with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}.*")


def nodes_of(kind: str) -> list[tuple[str, Schema]]:
    schema = crds.crd(KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return [pair for part in ("spec", "status") for pair in walk(schema["properties"][part], f"{kind}.{part}")]


ALL_NODES = [pair for kind in KINDS for pair in nodes_of(kind)]


def test_committed_crds_are_current() -> None:
    assert crds.stale(ROOT / "crds") == [], "run: python -m pve_evpn.api.schema crds/"


def test_check_finds_changed_missing_and_left_over_files(tmp_path: Path) -> None:
    assert crds.main([str(tmp_path)]) == 0
    assert crds.main(["--check", str(tmp_path)]) == 0
    vnets = tmp_path / "pve-evpn.dev_vnets.yaml"
    vnets.write_text(vnets.read_text().replace("16777215", "4095"))
    (tmp_path / "pve-evpn.dev_evpnzones.yaml").unlink()
    (tmp_path / "pve-evpn.dev_subnets.yaml").write_text("")
    assert crds.main(["--check", str(tmp_path)]) == 1
    assert [name.split("_")[1] for name in crds.stale(tmp_path)] == ["evpnzones.yaml", "subnets.yaml", "vnets.yaml"]


def test_committed_reference_is_current() -> None:
    assert (ROOT / "docs/api.md").read_text() == reference.render(), "run: python -m pve_evpn.api.reference docs/api.md"


def test_reference_check_finds_an_old_page(tmp_path: Path) -> None:
    page = tmp_path / "api.md"
    assert reference.main(["--check", str(page)]) == 1
    assert reference.main([str(page)]) == 0
    assert reference.main(["--check", str(page)]) == 0


def test_only_structural_keywords() -> None:
    known = {
        "type", "description", "properties", "required", "items", "enum", "format", "additionalProperties",
        "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties",
        "maxProperties", VALIDATIONS, "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    }  # fmt: skip
    statuses = {(f"{kind}.{path}", "default") for kind in KINDS for path in ("status", "status.conditions")}
    assert {(path, key) for path, node in ALL_NODES for key in node.keys() - known} == statuses
    assert [path for path, node in ALL_NODES if "type" not in node] == []


def test_nothing_is_unbounded() -> None:
    """The API server estimates the cost of rules at the worst case, and statuses must stay small."""
    limit = {"array": "maxItems", "string": "maxLength"}
    free = [
        path
        for path, node in ALL_NODES
        if node["type"] in limit
        and limit[node["type"]] not in node
        and "enum" not in node
        and node.get("format") != "date-time"
    ]
    assert free == []


def test_every_field_is_documented() -> None:
    fields = [(path, node) for path, node in ALL_NODES if not path.endswith(("[]", ".*"))]
    assert [path for path, node in fields if not node.get("description", "").endswith(".")] == []


def test_every_list_says_how_it_is_merged() -> None:
    assert [p for p, node in ALL_NODES if node["type"] == "array" and "x-kubernetes-list-type" not in node] == []


def test_optional_switches_and_numbers_say_their_default() -> None:
    """Leaving such a field out is a choice of value, and the schema holds no defaults: the description must say it."""
    required = {f"{path}.{name}" for path, node in ALL_NODES for name in node.get("required", ())}
    silent = [
        path
        for path, node in ALL_NODES
        if ".spec." in path
        and path not in required
        and not path.endswith("[]")
        and node["type"] in ("boolean", "integer", "number")
        and "Default:" not in node["description"]
    ]
    # The guest is named by number or by name; the hops have no default that Proxmox documents.
    assert silent == ["EvpnController.spec.ebgpMultihop", "NicAttachment.spec.guest.vmid"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_crd_frame(kind: Any) -> None:
    crd = crds.crd(kind)
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    assert crd["metadata"]["name"] == f"{names['plural']}.{crd['spec']['group']}"
    assert names["categories"] == [CATEGORY]
    assert version["subresources"] == {"status": {}}
    columns = {column["name"]: column for column in version["additionalPrinterColumns"]}
    assert columns["Ready"]["jsonPath"] == '.status.conditions[?(@.type=="Ready")].status'
    assert columns["Reason"]["jsonPath"] == '.status.conditions[?(@.type=="Ready")].reason'
    assert columns["Message"]["priority"] == 1
    assert "Age" in columns


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_printer_columns_show_fields_that_exist(kind: Any) -> None:
    paths = {path.removeprefix(kind.name) for path, _ in nodes_of(kind.name)}
    shown = {column.path for column in kind.columns if "[" not in column.path}
    assert shown - paths == {".metadata.creationTimestamp"}


def test_every_property_we_write_to_proxmox_is_named_in_the_reference() -> None:
    described = " ".join(node.get("description", "") for path, node in ALL_NODES if ".spec." in path)
    # A peer list, a resolved reference and an inverted boolean are named like any other property.
    missing = {key for form in FORMS.values() for key in form.keys if f"Proxmox: {key}" not in described}
    assert missing == set()


def test_short_names_are_unique() -> None:
    names = [name for kind in KINDS.values() for name in (*kind.short_names, kind.plural)]
    assert len(names) == len(set(names))


# --- what cannot be said ------------------------------------------------------------------------------------------


def test_recursion_is_refused() -> None:
    with pytest.raises(TypeError, match="contains itself"):
        crds.structural(Recursive)


class Recursive(ApiModel):
    """A model inside itself."""

    inner: Recursive | None = None


def test_a_union_is_refused() -> None:
    class Either(ApiModel):
        value: int | str

    with pytest.raises(TypeError, match="union of 2 types"):
        crds.structural(Either)


def test_an_unbounded_list_is_refused() -> None:
    class Long(ApiModel):
        values: list[int]

    with pytest.raises(TypeError, match="maxItems is missing"):
        crds.structural(Long)


def test_a_set_and_a_tuple_are_refused() -> None:
    class Unordered(ApiModel):
        values: set[int] = Field(max_length=3)

    class Pair(ApiModel):
        values: tuple[int, str]

    for model in (Unordered, Pair):
        with pytest.raises(TypeError, match="no structural form"):
            crds.structural(model)


def test_rules_of_a_type_and_of_its_use_add_up() -> None:
    class Inner(ApiModel):
        model_config = ConfigDict(json_schema_extra=rules(Rule("a", "from the model")))

    class Outer(ApiModel):
        inner: Annotated[Inner, Rule("b", "from its use")] | None = None

    made = crds.structural(Outer)["properties"]["inner"][VALIDATIONS]
    assert [rule["message"] for rule in made] == ["from the model", "from its use"]


def test_exclusive_bounds_become_openapi_3_0() -> None:
    class Bounded(ApiModel):
        value: Annotated[float, Field(gt=0, lt=5)]

    node = crds.structural(Bounded)["properties"]["value"]
    assert (node["minimum"], node["exclusiveMinimum"]) == (0, True)
    assert (node["maximum"], node["exclusiveMaximum"]) == (5, True)


@pytest.mark.redteam
def test_no_text_of_a_spec_takes_any_character() -> None:
    """Each is one of a list, has a grammar, or is free of control characters and bidirectional marks."""
    unrestricted = {
        path
        for path, node in ALL_NODES
        if ".spec" in path and node.get("type") == "string" and not ({"enum", "pattern", "format"} & node.keys())
        if not any(word in rule["rule"] for rule in node.get(VALIDATIONS, ()) for word in ("matches", "isIP", "isCIDR"))
    }
    assert unrestricted == set()
