"""Random requests in random order: each answer is one Proxmox could give, and the views agree with the copies."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pve_lab.sdn import parameters as table
from tests.lab.clients import SdnClient

IDS = {"controllers": ["c1", "c2", "bgp-1"], "zones": ["z1", "z2", "plain"], "vnets": ["v1", "v2"]}
KEYS = {"controllers": "controller", "zones": "zone", "vnets": "vnet"}
CIDRS = ["198.51.100.0/24", "198.51.100.9/32", "2001:db8::/64"]
SCHEMAS = {"controllers": table.CONTROLLER, "zones": table.ZONE, "vnets": table.VNET, "subnets": table.SUBNET}
TYPES = {"controllers": table.CONTROLLER_TYPES, "zones": table.ZONE_TYPES, "vnets": ("vnet",), "subnets": ("subnet",)}

# Values that fit somewhere, values that fit nowhere, and what JSON can hold.
VALUES = st.one_of(
    st.sampled_from(["c1", "z1", "z2", "plain", "pve1", "pve1,pve2", "192.0.2.1", "198.51.100.1", "2001:db8::1"]),
    st.sampled_from(["65010:1", "BC:24:11:00:00:01", "vmbr0", "fab1", "pve", "", "0", "1", "true", "007", " x "]),
    st.sampled_from(["start-address=198.51.100.5,end-address=198.51.100.9", "start-address=x,end-address=", ",", "="]),
    st.integers(-2, 20000000), st.booleans(), st.none(), st.floats(allow_nan=False), st.text(max_size=12),
    st.lists(st.text(max_size=6), max_size=3), st.just({"a": 1}),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    kind = draw(st.sampled_from([*SCHEMAS, "whole"]))
    if kind == "whole":
        path = draw(st.sampled_from(["", "/lock", "/rollback", "/ipams/pve/status", "/nothing", "/zones/"]))
        params = draw(st.dictionaries(st.sampled_from(["lock-token", "force", "allow-pending"]), VALUES, max_size=2))
        return draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"])), path, params
    names = [*SCHEMAS[kind], "delete", "digest", "lock-token", "pending", "colour"]
    params = draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=4))
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    if kind == "subnets":
        base, key = f"/vnets/{draw(st.sampled_from(IDS['vnets']))}/subnets", "subnet"
        id_ = draw(st.sampled_from([f"z1-{cidr.replace('/', '-')}" for cidr in CIDRS]))
    else:
        base, key, id_ = f"/{kind}", KEYS[kind], draw(st.sampled_from(IDS[kind]))
    if method == "POST":
        new = draw(st.sampled_from(CIDRS)) if kind == "subnets" else id_
        sane = {"zones": {"controller": "c1", "vrf-vxlan": 7}, "vnets": {"zone": "z1", "tag": 5}}.get(kind, {})
        return method, base, {key: new, "type": draw(st.sampled_from(TYPES[kind])), **sane, **params}
    return method, f"{base}/{id_}", params


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), max_size=25), st.sampled_from(["8.4.5", "9.1.4", "9.2.3"]))
def test_every_request_gets_an_answer_and_the_views_agree(asked: list[tuple[str, str, Any]], version: str) -> None:
    api = SdnClient(version).network()
    for method, path, params in asked:
        status, body = api.ask(method, path, params)
        assert status in (200, 400, 403, 500, 501), (method, path, params)
        if status != 200:
            assert body["data"] is None
            assert body["message"]
            assert ("errors" in body) == (status == 400)
    for kind in IDS:
        views_agree(api, kind)
    if api.lab.sdn.lock is None:
        api.apply()
        assert not api.lab.sdn.has_pending()


def views_agree(api: SdnClient, kind: str) -> None:
    """The pending view is the running one with its changes carried out."""
    key = KEYS[kind]
    edited = {row.pop(key): row for row in api.get(f"/{kind}")}
    running = {row.pop(key): row for row in api.get(f"/{kind}", "running")}
    for row in api.get(f"/{kind}", "pending"):
        name, state, changes = row.pop(key), row.pop("state", None), row.pop("pending", {})
        assert (state is None) == (
            not changes and name in edited and running.get(name, {}).keys() == edited[name].keys()
        )
        if state == "deleted":
            assert name not in edited
            assert row == running[name]
            continue
        merged = {**row, **changes}
        shown = {k: value for k, value in merged.items() if value != "deleted" or k not in changes}
        assert {**shown, "digest": None} == {**edited[name], "digest": None}
