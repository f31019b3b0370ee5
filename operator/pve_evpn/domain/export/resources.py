"""Kubernetes objects that are not there yet, as planning sees them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pve_evpn.api.kinds import KINDS
from pve_evpn.domain.objects import Desired, ObjectKey, Resource

#: Younger than whatever exists: the older object wins every conflict.
_CREATED = datetime(9000, 1, 1, tzinfo=UTC)


def resource_of(key: ObjectKey, spec: Mapping[str, Any], index: int = 0) -> Resource[Any]:
    """An object as it will be once it is created, and taken over; ``index`` is its place among those created at once.

    Raises pydantic's ValidationError for a spec that is not valid.
    """
    row = KINDS[key.kind]
    full = {name: value for name, value in spec.items() if name != "managementPolicy"}
    return Resource(
        key=key,
        uid=f"export-{index:06d}",
        resource_version=1,
        generation=1,
        created=_CREATED + timedelta(microseconds=index),
        deleting=False,
        finalizers=(),
        annotations={},
        labels={},
        spec=row.spec_model.model_validate(full),
        status=row.status_model(),
    )


def nothing_yet(cluster: str, spec: Mapping[str, Any]) -> Desired:
    """A ProxmoxCluster without any other object. Raises pydantic's ValidationError for a spec that is not valid."""
    return Desired(resource_of(ObjectKey("ProxmoxCluster", "", cluster), spec))
