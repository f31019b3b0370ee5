"""The tables of VNIs and subnets answer as a search through everything would."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.api.types import VniRange
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.subnets import SubnetTable, network_of
from pve_evpn.domain.plan.vnis import VniTable
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef

_networks = st.builds(
    lambda address, length: ipaddress.ip_network((address << 24, length), strict=False),
    st.integers(0, 255),
    st.integers(0, 12),
)


def _ref(zone: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> SdnRef:
    return SdnRef(SdnKind.SUBNET, f"{zone}-{network.network_address}-{network.prefixlen}")


@given(st.lists(st.tuples(st.sampled_from("ab"), _networks), max_size=12), _networks)
def test_overlaps_are_those_of_a_full_search(present, network) -> None:
    refs = {_ref(zone, other) for zone, other in present}
    expected = {ref for ref in refs if ref.id[0] == "a" and network_of(ref).overlaps(network)}
    table = SubnetTable(refs)
    assert table.overlapping("a", network) == sorted(expected)
    later = SubnetTable([])
    for ref in sorted(refs):
        later.add(ref)
    assert later.overlapping("a", network) == sorted(expected)


def test_the_two_versions_of_ip_are_apart() -> None:
    table = SubnetTable([_ref("a", ipaddress.ip_network("fd00::/64"))])
    assert table.overlapping("a", ipaddress.ip_network("0.0.0.0/0")) == []
    assert len(table.overlapping("a", ipaddress.ip_network("fd00::/48"))) == 1


def _vnet(name: str, vni: int) -> SdnObject:
    return SdnObject(SdnRef(SdnKind.VNET, name), "vnet", {"tag": str(vni)})


@given(st.lists(st.integers(1, 8), max_size=6), st.lists(st.integers(0, 5), max_size=6))
def test_the_lowest_free_vni_is_that_of_a_full_search(there, asked) -> None:
    objects = [_vnet(f"n{number}", vni) for number, vni in enumerate(there)]
    table, range_ = VniTable({obj.ref: obj for obj in objects}), VniRange(first=2, last=6)
    for number in asked:
        ref = SdnRef(SdnKind.VNET, f"n{number}")
        free = [vni for vni in range(2, 7) if table.holder(vni, besides=ref) is None]
        found = table.lowest_free(range_, besides=ref)
        assert found == (free[0] if free else None)
        if found is not None:
            table.claim(found, ref, ObjectKey("VNet", "default", ref.id))
