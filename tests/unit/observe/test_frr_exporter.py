"""Source frrExporter: what its text says, and what it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from pve_evpn.observe.frr import FrrParseError
from pve_evpn.observe.frr_exporter import FrrExporterSource, parse
from pve_evpn.observe.source import NodeTarget, NodeUnreadable

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

HEAD = """\
# HELP frr_collector_up Whether the collector's last scrape was successful.
# TYPE frr_collector_up gauge
frr_collector_up{collector="bgp"} 1
frr_collector_up{collector="bgpl2vpn"} %s
"""
PEERS = """\
# TYPE frr_bgp_peer_state gauge
frr_bgp_peer_state{afi="ipv4",local_as="65001",peer="192.168.16.9",peer_as="65001",safi="unicast",vrf="default"} 1
frr_bgp_peer_state{afi="l2vpn",local_as="65001",peer="192.168.16.2",peer_as="65001",safi="evpn",vrf="default"} 1
frr_bgp_peer_state{afi="l2vpn",local_as="65001",peer="192.168.16.3",peer_as="65001",safi="evpn",vrf="default"} 0
frr_bgp_peer_state{afi="l2vpn",local_as="65001",peer="192.168.16.4",peer_as="65001",safi="evpn",vrf="default"} 2
# TYPE frr_bgp_peer_uptime_seconds gauge
frr_bgp_peer_uptime_seconds{afi="l2vpn",local_as="65001",peer="192.168.16.2",peer_as="65001",safi="evpn"} 90
# TYPE frr_bgp_peer_prefixes_received_count_total gauge
frr_bgp_peer_prefixes_received_count_total{afi="l2vpn",peer="192.168.16.2",safi="evpn"} 3
"""
VNIS = """\
# TYPE frr_bgp_l2vpn_evpn_mac_count_total gauge
frr_bgp_l2vpn_evpn_mac_count_total{tenantVrf="default",type="L2",vni="5001",vxlanIf="vxlan_EVPN1"} 2
frr_bgp_l2vpn_evpn_mac_count_total{tenantVrf="vrf_EZone1",type="L3",vni="100001",vxlanIf="vrfvx_EZone1"} 3
# TYPE frr_bgp_l2vpn_evpn_remote_vtep_count_total gauge
frr_bgp_l2vpn_evpn_remote_vtep_count_total{tenantVrf="default",type="L2",vni="5001",vxlanIf="vxlan_EVPN1"} 3
frr_bgp_l2vpn_evpn_remote_vtep_count_total{tenantVrf="vrf_EZone1",type="L3",vni="100001",vxlanIf="vrfvx_EZone1"} -1
"""
TEXT = HEAD % 1 + PEERS + VNIS


def test_sessions_of_l2vpn_evpn_and_no_others() -> None:
    look = parse("pve1", AT, TEXT)
    assert look.peers is not None
    assert [(p.address, p.state, p.prefixes_received) for p in look.peers] == [
        ("192.168.16.2", "Established", 3),
        ("192.168.16.3", "Down", None),
        ("192.168.16.4", "Idle (Admin)", None),
    ]
    assert look.peers[0].since == AT - timedelta(seconds=90)
    assert (look.asn, look.bgp_running, look.source) == (65001, True, "frrExporter")


def test_vnis_have_counts_and_no_names_of_vteps() -> None:
    look = parse("pve1", AT, TEXT)
    assert look.vnis is not None
    l2, l3 = look.vnis
    assert (l2.vni, l2.type, l2.macs, l2.remote_vteps, l2.remote_vtep_count) == (5001, "L2", 2, None, 3)
    assert (l3.vni, l3.type, l3.macs, l3.remote_vtep_count, l3.tenant_vrf) == (100001, "L3", 3, None, "vrf_EZone1")
    assert look.macs is None
    assert look.routes is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEAD % 0 + PEERS, "bgpl2vpn failed"),
        ('frr_collector_up{collector="bgp"} 1\n', "--collector.bgpl2vpn"),
        ("", "--collector.bgpl2vpn"),
        ("<html>", "not Prometheus"),
        (TEXT + 'frr_bgp_l2vpn_evpn_mac_count_total{vni="x"} 1\n', "no VNI"),
    ],
)
def test_a_text_that_says_nothing_of_evpn_is_no_observation(text: str, complaint: str) -> None:
    with pytest.raises(FrrParseError, match=complaint):
        parse("pve1", AT, text)


class Exporter:
    """A web server that answers with `text`, or with what a proxy in front of it would say."""

    def __init__(self) -> None:
        self.text = TEXT
        self.status = 200
        self.requests = 0
        self.port = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.requests += 1
        headers = {"Location": "http://127.0.0.1:1/"} if self.status == 302 else {}
        return web.Response(text=self.text, status=self.status, headers=headers)


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    exporter = Exporter()
    app = web.Application()
    app.router.add_get("/metrics", exporter.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    assert site._server is not None
    exporter.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield exporter
    await runner.cleanup()


TARGET = NodeTarget("pve1", "127.0.0.1")


async def test_a_look_is_one_request(exporter: Exporter) -> None:
    source = FrrExporterSource(port=exporter.port)
    look = await source.read(TARGET)
    await source.close()
    assert look.node == "pve1"
    assert exporter.requests == 1


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_anything_but_200_is_no_answer(exporter: Exporter, status: int) -> None:
    exporter.status = status
    assert await refusal(FrrExporterSource(port=exporter.port)) == "Unreadable"


async def test_an_endless_answer_is_cut(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pve_evpn.observe.frr_exporter.MAX_ANSWER", 100)
    assert await refusal(FrrExporterSource(port=exporter.port)) == "Unreadable"


async def test_nobody_listens() -> None:
    assert await refusal(FrrExporterSource(port=1)) == "Unreachable"


async def refusal(source: FrrExporterSource) -> str:
    with pytest.raises(NodeUnreadable) as problem:
        await source.read(TARGET)
    await source.close()
    return problem.value.reason
