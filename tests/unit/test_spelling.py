"""Structured texts of Proxmox in one form, whatever the order of their parts; entries of route maps come back whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, canonical, parents_of
from pve_evpn.domain.spelling import property_string, route_map_entry, route_map_params

_WORD = st.from_regex(r"[a-z0-9.:+-]{1,8}", fullmatch=True)
_PAIR = st.builds(
    lambda key, value: f"key={key},value={value}" if value else f"key={key}", _WORD, st.one_of(_WORD, st.just(""))
)


@given(st.dictionaries(_WORD, _WORD, min_size=1, max_size=5), st.randoms())
def test_parts_in_any_order_are_one_text(parts: dict[str, str], random: object) -> None:
    pairs = list(parts.items())
    random.shuffle(pairs)  # type: ignore[attr-defined]
    text = ",".join(f"{key}={value}" for key, value in pairs)
    assert property_string(text) == property_string(parts)
    assert property_string(property_string(text)) == property_string(text)


@given(
    st.lists(_PAIR, max_size=3, unique=True), st.lists(_PAIR, max_size=3, unique=True), st.one_of(st.none(), _WORD),
    st.one_of(st.none(), _PAIR),
)  # fmt: skip
def test_an_entry_comes_back_as_it_was(
    match: list[str], actions: list[str], call: str | None, leave: str | None
) -> None:
    raw = {"action": "deny", "match": match, "set": actions, "call": call, "exit-action": leave}
    given_back = route_map_params(route_map_entry(raw))
    wanted = {"action": "deny", "match": sorted(match), "set": sorted(actions), "call": call, "exit-action": leave}
    found = {key: sorted(value) if isinstance(value, list) else value for key, value in given_back.items()}
    assert found == {key: value for key, value in wanted.items() if value}


@pytest.mark.parametrize(
    ("key", "value", "form"),
    [
        ("area", "0.0.0.0", "0"),
        ("area", "0.0.1.2", "258"),
        ("area", "7", "7"),
        ("interfaces", ["ip=10.0.0.1/31,name=eth1", {"name": "eth0"}], ("name=eth0", "name=eth1,ip=10.0.0.1/31")),
        ("interfaces", [], None),
        ("redistribute", ["route-map=rm1,source=bgp"], ("source=bgp,route-map=rm1",)),
        (
            "entries",
            ["seq=10,action=deny,prefix=::/0", "prefix=10.0.0.0/8,seq=5,action=permit"],
            ("action=permit,prefix=10.0.0.0/8,seq=5", "action=deny,prefix=::/0,seq=10"),
        ),
    ],
)
def test_one_form(key: str, value: object, form: object) -> None:
    assert canonical(key, value) == form


def test_what_routing_objects_name_comes_before_them() -> None:
    def named(kind: SdnKind, **props: object) -> list[str]:
        properties = {key.replace("_", "-") if kind is SdnKind.CONTROLLER else key: v for key, v in props.items()}
        return [str(ref) for ref in parents_of(SdnObject(SdnRef(kind, "x"), "t", properties, "f"))]  # type: ignore[arg-type]

    entry = ("action permit", "match ip6-next-hop-prefix-list pl6", "match vni 5", "call other")
    assert named(SdnKind.ROUTE_MAP, **{"10": entry}) == ["prefix-list pl6", "route-map other"]
    assert named(SdnKind.FABRIC, route_filter="pl", redistribute=("source=bgp,route-map=rm", "source=static")) == [
        "prefix-list pl",
        "route-map rm",
    ]
    assert named(SdnKind.FABRIC_NODE) == ["fabric f"]
    assert named(SdnKind.CONTROLLER, fabric="f1", route_map_in="a", route_map_out="a") == ["fabric f1", "route-map a"]
