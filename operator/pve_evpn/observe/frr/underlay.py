"""What the daemons beside BGP say: BFD, OSPF, OpenFabric, IS-IS.

Each function takes the printed text of the command it names and raises `FrrParseError` only.
"""

from __future__ import annotations

from pve_evpn.domain.observation import BfdPeer, FabricNeighbour
from pve_evpn.observe.frr.json import (
    as_text,
    mapping,
    rows,
    sequence,
    table,
    text,
    text_or_none,
)


def bfd_peers(printed: str) -> tuple[BfdPeer, ...]:
    """``show bfd peers json``, sorted by peer: FRR's order varies."""
    found = (
        BfdPeer(
            peer=text(row, "peer"),
            status=text(row, "status"),
            local=text_or_none(row, "local"),
            vrf=text_or_none(row, "vrf"),
            interface=text_or_none(row, "interface"),
            diagnostic=text_or_none(row, "diagnostic"),
        )
        for row in rows(printed)
    )
    return tuple(sorted(found, key=lambda peer: (peer.peer, peer.interface or "")))


def ospf_neighbours(printed: str) -> tuple[FabricNeighbour, ...]:
    """``show ip ospf neighbor json``. FRR 8 names things twice, FRR 10 knows only the ``nbr`` and ``iface`` names."""
    found: list[FabricNeighbour] = []
    for router_id, listed in mapping(table(printed).get("neighbors", {}), "neighbors").items():
        for value in sequence(listed, "a neighbour's list"):
            row = mapping(value, "a neighbour")
            found.append(
                FabricNeighbour(
                    protocol="ospf",
                    neighbour=as_text(router_id, "a router id"),
                    state=text_or_none(row, "nbrState") or text(row, "state"),
                    interface=text_or_none(row, "ifaceName"),
                    address=text_or_none(row, "ifaceAddress") or text_or_none(row, "address"),
                )
            )
    return tuple(sorted(found, key=lambda n: (n.neighbour, n.interface or "")))


def openfabric_neighbours(printed: str) -> tuple[FabricNeighbour, ...]:
    """``show openfabric neighbor json``."""
    return _neighbours_of_circuits(printed, "openfabric")


def isis_neighbours(printed: str) -> tuple[FabricNeighbour, ...]:
    """``show isis neighbor json``; `fabric` is the IS-IS domain.

    FRR prints one neighbour for each interface. Where an interface has several, or one on both levels, each of them
    overwrites the one before it (measured with 8.4.4 and 10.3).
    """
    return _neighbours_of_circuits(printed, "isis")


def _neighbours_of_circuits(printed: str, protocol: str) -> tuple[FabricNeighbour, ...]:
    """fabricd is isisd with another name, so both print the same. A circuit without neighbour has no ``adj``."""
    found: list[FabricNeighbour] = []
    for value in sequence(table(printed).get("areas", []), "areas"):
        area = mapping(value, "an area")
        for entry in sequence(area.get("circuits", []), "circuits"):
            circuit = mapping(entry, "a circuit")
            if (neighbour := text_or_none(circuit, "adj")) is None:
                continue
            found.append(
                FabricNeighbour(
                    protocol=protocol,
                    neighbour=neighbour,
                    state=text(circuit, "state"),
                    interface=text_or_none(circuit, "interface"),
                    fabric=text_or_none(area, "area"),
                )
            )
    return tuple(sorted(found, key=lambda n: (n.neighbour, n.interface or "")))
