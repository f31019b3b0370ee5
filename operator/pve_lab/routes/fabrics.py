"""Fabrics and their nodes, route maps, prefix lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pve_lab.cluster import Lab
from pve_lab.declared import declared
from pve_lab.dispatch import Call
from pve_lab.errors import refused, wrong_parameters
from pve_lab.sdn.section import Props

_FABRICS, _NODES = "/cluster/sdn/fabrics/fabric", "/cluster/sdn/fabrics/node"
_MAPS, _LISTS = "/cluster/sdn/route-maps", "/cluster/sdn/prefix-lists"
_ENTRY = _MAPS + "/entries/{route-map-id}/entry/{order}"
_STEERING = ("lock-token", "digest", "delete")
_SEE, _SEE_NODE = ("SDN.Audit", "SDN.Allocate"), ("Sys.Audit", "Sys.Modify")


def _settings(call: Call) -> Props:
    return {key: value for key, value in {**call.params, **call.path}.items() if key not in _STEERING}


def _delete(call: Call) -> list[str]:
    return [str(key) for key in call.params.get("delete") or ()]


@contextmanager
def _locked(lab: Lab, call: Call, prefix: str) -> Iterator[None]:
    with lab.sdn.locked(prefix, call.text("lock-token")):
        yield


# --- fabrics ------------------------------------------------------------------------------------------------------


def _sees(lab: Lab, call: Call, path: str, privileges: tuple[str, ...] = _SEE) -> bool:
    return lab.access.allowed(call.user, path, privileges)


def _fabric_rows(lab: Lab, call: Call) -> list[Props]:
    rows = [row for row in lab.fabrics.fabrics.rows(call.view) if _sees(lab, call, f"/sdn/fabrics/{_of(row, 'id')}")]
    return _digested(lab, call, rows)


def _node_rows(lab: Lab, call: Call, fabric: str = "") -> list[Props]:
    rows = [
        row
        for row in lab.fabrics.nodes.rows(call.view)
        if fabric in ("", _of(row, "fabric_id"))
        and _sees(lab, call, f"/sdn/fabrics/{_of(row, 'fabric_id')}")
        and _sees(lab, call, f"/nodes/{_of(row, 'node_id')}", _SEE_NODE)
    ]
    return _digested(lab, call, rows)


def _of(row: Props, key: str) -> str:
    """A new object's names are below ``pending`` too."""
    return str(row.get(key) or row["pending"][key])


def _digested(lab: Lab, call: Call, rows: list[Props]) -> list[Props]:
    return rows if call.view == "running" else [{**row, "digest": lab.fabrics.digest} for row in rows]


@declared("GET", "/cluster/sdn/fabrics")
def fabrics_index(lab: Lab, _call: Call) -> Any:
    return [{"subdir": name} for name in ("fabric", "node", "all")]


@declared("GET", "/cluster/sdn/fabrics/all")
def everything(lab: Lab, call: Call) -> Any:
    return {"fabrics": _fabric_rows(lab, call), "nodes": _node_rows(lab, call)}


@declared("GET", _FABRICS)
def fabrics(lab: Lab, call: Call) -> Any:
    return _fabric_rows(lab, call)


@declared("POST", _FABRICS)
def create_fabric(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "adding fabric failed"):
        _unmodified(lab, call)
        lab.fabrics.create(_settings(call))


@declared("GET", _FABRICS + "/{id}")
def fabric(lab: Lab, call: Call) -> Any:
    return {**lab.fabrics.fabric(call.path["id"]), "digest": lab.fabrics.digest}


@declared("PUT", _FABRICS + "/{id}")
def update_fabric(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "updating fabric failed"):
        _unmodified(lab, call)
        lab.fabrics.update(call.path["id"], _settings(call), _delete(call))


@declared("DELETE", _FABRICS + "/{id}", strict=False)
def delete_fabric(lab: Lab, call: Call) -> Any:
    """The lock token is not declared, but taken, and wanted while the lock is held."""
    with _locked(lab, call, "deleting fabric failed"):
        for row in lab.fabrics.nodes.edited.values():
            if row["fabric_id"] == call.path["id"] and not _sees(
                lab, call, f"/nodes/{row['node_id']}", ("Sys.Modify",)
            ):
                raise refused(f"permission check failed: missing 'Sys.Modify' on node {row['node_id']}\n")
        lab.fabrics.delete(call.path["id"])


@declared("GET", _NODES)
def all_nodes(lab: Lab, call: Call) -> Any:
    return _node_rows(lab, call)


@declared("GET", _NODES + "/{fabric_id}")
def nodes(lab: Lab, call: Call) -> Any:
    return _node_rows(lab, call, call.path["fabric_id"])


@declared("POST", _NODES + "/{fabric_id}")
def create_node(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "adding node failed"):
        _unmodified(lab, call)
        lab.fabrics.create_node(_settings(call))


@declared("GET", _NODES + "/{fabric_id}/{node_id}")
def node(lab: Lab, call: Call) -> Any:
    return {**lab.fabrics.node(call.path["fabric_id"], call.path["node_id"]), "digest": lab.fabrics.digest}


@declared("PUT", _NODES + "/{fabric_id}/{node_id}")
def update_node(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "updating node failed"):
        _unmodified(lab, call)
        lab.fabrics.update_node(call.path["fabric_id"], call.path["node_id"], _settings(call), _delete(call))


@declared("DELETE", _NODES + "/{fabric_id}/{node_id}", strict=False)
def delete_node(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "deleting node failed"):
        lab.fabrics.delete_node(call.path["fabric_id"], call.path["node_id"])


def _unmodified(lab: Lab, call: Call) -> None:
    given = call.text("digest")
    if given and given != lab.fabrics.digest:
        raise refused("detected modified configuration - file changed by other user? Try again.\n")


# --- route maps -----------------------------------------------------------------------------------------------------


def _entry_rows(lab: Lab, call: Call, map_: str = "") -> list[Props]:
    entries = lab.route_maps.entries
    rows = [
        row
        for row in entries.rows(call.view)
        if map_ in ("", _of(row, "route-map-id")) and _sees(lab, call, f"/sdn/route-maps/{_of(row, 'route-map-id')}")
    ]
    return rows if call.view == "running" else [{**row, "digest": entries.digest} for row in rows]


@declared("GET", _MAPS)
def route_maps(lab: Lab, call: Call) -> Any:
    names = {row["route-map-id"] for row in lab.route_maps.entries.rows(call.view)}
    return [{"id": name} for name in sorted(names) if _sees(lab, call, f"/sdn/route-maps/{name}")]


@declared("GET", _MAPS + "/entries")
def all_entries(lab: Lab, call: Call) -> Any:
    return _entry_rows(lab, call)


@declared("POST", _MAPS + "/entries")
def create_entry(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "creating route map entry failed"):
        lab.route_maps.entries.check_digest(call.text("digest"))
        lab.route_maps.create(_settings(call))


@declared("GET", _MAPS + "/entries/{route-map-id}")
def entries(lab: Lab, call: Call) -> Any:
    return _entry_rows(lab, call, call.path["route-map-id"])


@declared("GET", _ENTRY)
def entry(lab: Lab, call: Call) -> Any:
    map_, order = call.path["route-map-id"], call.path["order"]
    found = lab.route_maps.entries.edited.get(f"{map_}/{order}")
    if found is None:
        raise wrong_parameters({"route-map-id": f"{map_}_{order} doesn't exist"})
    return found


@declared("PUT", _ENTRY)
def update_entry(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "updating route map entry failed"):
        lab.route_maps.entries.check_digest(call.text("digest"))
        lab.route_maps.update(call.path["route-map-id"], call.path["order"], _settings(call), _delete(call))


@declared("DELETE", _ENTRY)
def delete_entry(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "deleting route map entry failed"):
        lab.route_maps.delete(call.path["route-map-id"], call.path["order"])


# --- prefix lists ---------------------------------------------------------------------------------------------------


@declared("GET", _LISTS)
def prefix_lists(lab: Lab, call: Call) -> Any:
    """Without ``verbose`` the ids alone; with what waits, whether it does, but not what."""
    lists = lab.prefix_lists.lists
    rows = [row for row in lists.rows(call.view) if _sees(lab, call, f"/sdn/prefix-lists/{_of(row, 'id')}")]
    if call.flag("verbose"):
        return rows if call.view == "running" else [{**row, "digest": lists.digest} for row in rows]
    return [{"id": _of(row, "id")} | ({"state": row["state"]} if "state" in row else {}) for row in rows]


@declared("POST", _LISTS)
def create_list(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "creating prefix list failed"):
        lab.prefix_lists.lists.check_digest(call.text("digest"))
        lab.prefix_lists.create(str(call.params["id"]), call.params.get("entries") or [])


@declared("GET", _LISTS + "/{id}")
def prefix_list(lab: Lab, call: Call) -> Any:
    found = lab.prefix_lists.lists.edited.get(call.path["id"])
    if found is None:
        raise wrong_parameters({"id": f"{call.path['id']} doesn't exist"})
    return found


@declared("PUT", _LISTS + "/{id}")
def update_list(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "updating prefix list failed"):
        lab.prefix_lists.lists.check_digest(call.text("digest"))
        lab.prefix_lists.update(call.path["id"], call.params.get("entries"), _delete(call))


@declared("DELETE", _LISTS + "/{id}")
def delete_list(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "deleting prefix list failed"):
        lab.prefix_lists.delete(call.path["id"])


@declared("GET", _LISTS + "/{id}/entries")
def list_entries(lab: Lab, call: Call) -> Any:
    return lab.prefix_lists.entries(call.path["id"])


@declared("POST", _LISTS + "/{id}/entries")
def add_list_entry(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "creating prefix list entry failed"):
        params = {key: value for key, value in call.params.items() if key not in _STEERING}
        lab.prefix_lists.add_entry(call.path["id"], params)


_LIST_ENTRY = _LISTS + "/{id}/entries/{url_seq}"


@declared("GET", _LIST_ENTRY, strict=False)
def list_entry(lab: Lab, call: Call) -> Any:
    return lab.prefix_lists.entry(call.path["id"], call.path["url_seq"])


@declared("PUT", _LIST_ENTRY, strict=False)
def update_list_entry(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "updating prefix list entry failed"):
        params = {key: value for key, value in call.params.items() if key not in _STEERING}
        lab.prefix_lists.change_entry(call.path["id"], call.path["url_seq"], params, _delete(call))


@declared("DELETE", _LIST_ENTRY, strict=False)
def delete_list_entry(lab: Lab, call: Call) -> Any:
    with _locked(lab, call, "deleting prefix list entry failed"):
        lab.prefix_lists.drop_entry(call.path["id"], call.path["url_seq"])
