"""Route maps and prefix lists as text of ``frr.conf``. Pure.

The keys are those of Proxmox' API schema (``/cluster/sdn/route-maps/entries``); the words are FRR's.
"""

from __future__ import annotations

from collections.abc import Iterable

from pve_lab.running_config import Props, RunningConfig

_MATCH = {
    "route-type": "evpn route-type",
    "vni": "evpn vni",
    "ip-address-prefix-list": "ip address prefix-list",
    "ip6-address-prefix-list": "ipv6 address prefix-list",
    "ip-next-hop-prefix-list": "ip next-hop prefix-list",
    "ip6-next-hop-prefix-list": "ipv6 next-hop prefix-list",
    "ip-next-hop-address": "ip next-hop address",
    "ip6-next-hop-address": "ipv6 next-hop address",
    "metric": "metric",
    "local-preference": "local-preference",
    "peer": "peer",
    "tag": "tag",
}
_SET = {
    "ip-next-hop-peer-address": "ip next-hop peer-address",
    "ip-next-hop-unchanged": "ip next-hop unchanged",
    "ip-next-hop": "ip next-hop",
    "ip6-next-hop-peer-address": "ipv6 next-hop peer-address",
    "ip6-next-hop-prefer-global": "ipv6 next-hop prefer-global",
    "ip6-next-hop": "ipv6 next-hop global",
    "local-preference": "local-preference",
    "tag": "tag",
    "weight": "weight",
    "metric": "metric",
    "src": "src",
}
_EXIT = {"on-match-goto": "on-match goto", "on-match-next": "on-match next", "continue": "continue"}


def policies(running: RunningConfig) -> list[str]:
    """All of them, prefix lists first: a route map that names one must find it."""
    lines = [line for id_, entries in sorted(running.prefix_lists.items()) for line in _prefix_list(id_, entries)]
    ordered = sorted(running.route_map_entries, key=lambda row: (row["route-map-id"], int(row["order"])))
    return [*lines, *(["!"] if lines else []), *(line for row in ordered for line in _entry(row))]


def _prefix_list(id_: str, entries: Iterable[str]) -> Iterable[str]:
    for text in entries:
        entry = _pairs(text)
        version = "ipv6" if ":" in entry["prefix"] else "ip"
        bounds = [f"{key} {entry[key]}" for key in ("ge", "le") if key in entry]
        yield " ".join([f"{version} prefix-list {id_} seq {entry['seq']} {entry['action']} {entry['prefix']}", *bounds])


def _entry(row: Props) -> Iterable[str]:
    yield f"route-map {row['route-map-id']} {row['action']} {row['order']}"
    for prefix, words in (("match", _MATCH), ("set", _SET)):
        for text in row.get(prefix) or ():
            yield f" {prefix} {_clause(text, words)}"
    if called := row.get("call"):
        yield f" call {called}"
    if exit_action := row.get("exit-action"):
        yield f" {_clause(exit_action, _EXIT)}"
    yield "exit"
    yield "!"


def _clause(text: str, words: dict[str, str]) -> str:
    pair = _pairs(text)
    return " ".join([words[pair["key"]], *([pair["value"]] if "value" in pair else [])])


def _pairs(text: str) -> dict[str, str]:
    """``key=vni,value=5001`` as a mapping."""
    return dict(part.partition("=")[::2] for part in text.split(","))
