"""Reading what only a node itself can say: its host network and the states of its zones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pve_evpn.domain.state import ClusterState, NodeState
from pve_evpn.pve import decode, errors
from pve_evpn.pve.client import PveClient

#: Seconds for which the nodes' host networks are remembered. Before an apply they are read anew.
_HOST_SECONDS = 60.0


class NodeReader(PveClient):
    """Reads of single nodes, typed. ``remembers``: host networks need not be read again within a minute."""

    def __init__(self, *connection: Any, **options: Any) -> None:
        super().__init__(*connection, **options)
        self.remembers = False
        self._hosts: dict[str, tuple[float, NodeState]] = {}

    async def _read_node(self, node: NodeState, before: NodeState | None, *, ask_zones: bool) -> NodeState:
        """Add what only the node itself can say; None where it does not answer.

        Args:
            node: As the cluster sees it.
            before: Its host network was read a moment ago, and is taken from there; None to read it.
            ask_zones: Whether the states of its zones are read too.
        """
        if not node.online:
            return node
        if before is not None and before.online:
            node = replace(before, address=node.address)
        else:
            node = await self._with_network(node)
        return await self._with_zones(node) if ask_zones else node

    async def _with_network(self, node: NodeState) -> NodeState:
        read_at, known = self._hosts.get(node.name, (0.0, node))
        if self.remembers and time.monotonic() - read_at < _HOST_SECONDS and known.address == node.address:
            return known
        self._hosts.pop(node.name, None)
        network, error = await self._of_node(f"/nodes/{node.name}/network")
        node = replace(node, errors=_noted(node.errors, "network", error))
        if network is None:
            return node
        return self._remember_host(_with_interfaces(node, network))

    def _remember_host(self, node: NodeState) -> NodeState:
        """Remember a node's host network if nothing is staged on it."""
        if node.network_pending == "":
            self._hosts[node.name] = time.monotonic(), node
        return node

    async def _with_zones(self, node: NodeState) -> NodeState:
        zones, error = await self._of_node(f"/nodes/{node.name}/sdn/zones")
        node = replace(node, errors=_noted(node.errors, "zones", error), zones=None, vnet_messages={})
        if zones is None:
            return node
        rows = {str(row["zone"]): str(row["status"]) for row in zones.get("data") or ()}
        unwell = [zone for zone, status in rows.items() if status != "available"]
        return replace(node, zones=rows, vnet_messages=await self._messages(node.name, unwell))

    async def host_edits(self, node: NodeState) -> NodeState:
        """The node with the edits of its own network that are staged at this moment; None where it does not tell."""
        if not node.online:
            return replace(node, network_pending=None)
        self._hosts.pop(node.name, None)
        network, error = await self._of_node(f"/nodes/{node.name}/network")
        errors_ = {**node.errors, **({"network": error} if error else {})}
        if network is not None:
            self._remember_host(_with_interfaces(node, network))
        return replace(node, network_pending=None if network is None else _host_edits(network), errors=errors_)

    async def _of_node(self, path: str) -> tuple[dict[str, Any] | None, str]:
        """The whole answer of a GET; else None, and what the node answered instead, "" if nothing."""
        try:
            return await self.call("GET", path), ""
        except errors.Unreachable:
            return None, ""
        except errors.Refused as error:
            return None, str(error)

    async def _messages(self, node: str, zones: Iterable[str]) -> dict[str, str]:
        """Per VNet what Proxmox complains about; asked only for zones that are not well."""
        messages: dict[str, str] = {}
        for zone in zones:
            content = await self.get_if_answered(f"/nodes/{node}/sdn/zones/{zone}/content")
            for row in (content or {}).get("data") or ():
                if row.get("statusmsg"):
                    messages[str(row["vnet"])] = str(row["statusmsg"])
        return messages

    async def with_zones(self, state: ClusterState) -> ClusterState:
        """The state with what every node says of its zones now."""
        nodes = await asyncio.gather(
            *(self._with_zones(node) if node.online else _unchanged(node) for node in state.nodes.values())
        )
        return replace(state, nodes={node.name: node for node in nodes})


def _noted(errors: Mapping[str, str], part: str, error: str) -> dict[str, str]:
    """A node's errors with the newest one of one part; "" clears it."""
    others = {name: text for name, text in errors.items() if name != part}
    return {**others, part: error} if error else others


def _with_interfaces(node: NodeState, network: Mapping[str, Any]) -> NodeState:
    """The node with what ``/nodes/{node}/network`` says."""
    interfaces = network.get("data") or ()
    return replace(
        node,
        addresses=tuple(str(i["cidr"]) for i in interfaces if i.get("cidr")),
        mtus=decode.mtus(interfaces),
        interface_mtus=decode.interface_mtus(interfaces),
        interfaces=decode.interface_names(interfaces),
        network_pending=_host_edits(network),
    )


async def _unchanged(node: NodeState) -> NodeState:
    return node


def _host_edits(network: Mapping[str, Any]) -> str:
    """The difference between staged and active host network; "" if there is none."""
    return str(network.get("changes") or "")
