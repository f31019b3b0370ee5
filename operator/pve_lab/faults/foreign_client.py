"""Requests of another client than the one under test: no fault meets them and no log of requests has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.dispatch import answer_without_faults
from pve_lab.request import Answer, Request

#: A user with a root shell on a node, who uses any lock token.
USER = "root@pam"
_ID_PARAMETER = {"zones": "zone", "vnets": "vnet", "controllers": "controller", "subnets": "subnet"}


def foreign_request(cluster: Cluster, method: str, path: str, **params: str) -> Any:
    """The answer's data. Raises ValueError if Proxmox refuses."""
    answer = _ask(cluster, method, path, params)
    if answer.status != 200:
        raise ValueError(f"{method} {path}: {answer.status} {(answer.body or {}).get('message', answer.reason)}")
    return (answer.body or {}).get("data")


def foreign_edit(cluster: Cluster, object_: str, props: Mapping[str, str], delete: bool = False) -> None:
    """Create, change or delete one SDN object with the token of the lock that is held.

    ``object_`` is a path below ``/cluster/sdn``, ``props`` are its properties.
    """
    path, token = f"/cluster/sdn/{object_}", lock_token(cluster)
    exists = _ask(cluster, "GET", path, {}).status == 200
    if delete:
        foreign_request(cluster, "DELETE", path, **token)
    elif exists:
        foreign_request(cluster, "PUT", path, **{k: v for k, v in props.items() if k != "type"}, **token)
    else:
        collection, _, id_ = path.rpartition("/")
        key = _ID_PARAMETER.get(collection.split("/")[-1], "id")
        foreign_request(cluster, "POST", collection, **{key: id_}, **props, **token)


def lock_token(cluster: Cluster) -> dict[str, str]:
    """The parameter for a write under the SDN lock; empty while the lock is free."""
    return {"lock-token": cluster.sdn.lock} if cluster.sdn.lock else {}


def _ask(cluster: Cluster, method: str, path: str, params: Mapping[str, str]) -> Answer:
    return answer_without_faults(cluster, Request(method, path, dict(params), USER))
