"""What all models share: spelling (camelCase outside, snake_case inside), references, selectors, policies.

A model states meaning, constraint, default and Proxmox' own name of each field in its description; those texts are
what ``kubectl explain`` prints. Rules that one object can break by itself are CEL expressions (:func:`rule`), checked
by the API server at ``kubectl apply``; pydantic repeats only what planning relies on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

ManagementPolicy = Literal["Full", "ObserveOnly"]
DeletionPolicy = Literal["Delete", "Orphan"]
AdoptionPolicy = Literal["Never", "IfIdentical", "Always"]

#: RFC 1123 subdomain, what Kubernetes accepts as an object's name.
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
NodeName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$")
]
Vni = Annotated[int, Field(ge=1, le=16777215)]
MacAddress = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$")]


def rule(expression: str, message: str, field_path: str | None = None) -> dict[str, str]:
    """One CEL rule as the CRD takes it."""
    made = {"rule": expression, "message": message}
    return {**made, "fieldPath": field_path} if field_path else made


def rules(*made: Mapping[str, str]) -> dict[str, Any]:
    """``json_schema_extra`` that carries CEL rules into the CRD."""
    return {"x-kubernetes-validations": list(made)}


def keyed(*keys: str) -> dict[str, Any]:
    """``json_schema_extra`` of a list whose entries are told apart by ``keys``, so that tools merge it by entry."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


class ApiModel(BaseModel):
    """Base of every model. Unknown fields are ignored: the API server has pruned or refused them already."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class ClusterScopedRef(ApiModel):
    """A cluster-scoped object of this API, by name."""

    name: ObjectName = Field(description="Name of the referenced object (metadata.name, not its Proxmox id).")


class LocalRef(ApiModel):
    """An object in the same namespace, by name."""

    name: ObjectName = Field(description="Name of the referenced object (metadata.name) in the same namespace.")


class SecretRef(ApiModel):
    """A Secret in the operator's own namespace; no other namespace is ever read."""

    name: ObjectName = Field(description="Name of a Secret in the operator's own namespace.")


class SecretKeyRef(ApiModel):
    """One key of a Secret in the operator's own namespace."""

    name: ObjectName = Field(description="Name of a Secret in the operator's own namespace.")
    key: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(
        "ca.crt", description="Key inside the Secret. Default: ca.crt."
    )


class LabelSelectorRequirement(ApiModel):
    """One expression of a label selector."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=317)] = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How key relates to values.")
    values: list[Annotated[str, StringConstraints(max_length=63)]] | None = Field(
        None, max_length=64, description="Values for In and NotIn.", json_schema_extra=ATOMIC
    )


class LabelSelector(ApiModel):
    """Kubernetes' label selector: every entry must hold; an empty selector matches everything."""

    match_labels: dict[str, Annotated[str, StringConstraints(max_length=63)]] | None = Field(
        None, max_length=64, description="Labels that must have exactly these values."
    )
    match_expressions: list[LabelSelectorRequirement] | None = Field(
        None, max_length=32, description="Expressions that must all hold.", json_schema_extra=ATOMIC
    )


class VniRange(ApiModel):
    """VNIs from which free ones are taken."""

    model_config = ConfigDict(json_schema_extra=rules(rule("self.first <= self.last", "first must not be above last")))

    first: Vni = Field(description="Lowest VNI (1 to 16777215).")
    last: Vni = Field(description="Highest VNI (1 to 16777215).")
