"""Ipams and DnsServers in `status` and `why`, and in a bundle with pseudonyms."""

from __future__ import annotations

from pve_evpn.cli.report.bundle import Material, files_of
from pve_evpn.cli.report.status import status_report
from pve_evpn.cli.report.why import why_report
from tests.unit.cli.people import judged, ready, snapshot
from tests.unit.plan.world import resource, zone

URL = "https://netbox.acme.example/api"
IPAM = resource(
    "Ipam", "nb1", {"clusterRef": {"name": "pve"}, "type": "netbox", "url": URL, "tokenSecretRef": {"name": "netbox"}}
)
DNS = resource("DnsServer", "ns1", {"clusterRef": {"name": "pve"}, "url": "http://dns.acme.example:8081"})


def test_status_has_a_table_of_each() -> None:
    data = status_report(snapshot(ready(IPAM, id="nb1", usedBy=["zone zone1"]), ready(DNS, id="ns1"))).data()
    assert [(row["name"], row["type"], row["usedBy"]) for row in data["ipams"]] == [("nb1", "netbox", "zone zone1")]
    assert [(row["name"], row["type"], row["usedBy"]) for row in data["dns"]] == [("ns1", "powerdns", None)]
    assert not {"ipams", "dns"} & status_report(snapshot(ready(zone()))).data().keys()


def test_why_of_a_zone_names_the_ipam_that_it_waits_for() -> None:
    failed = judged(IPAM, "False", "StagingFailed", message="the IPAM does not answer")
    waiting = judged(zone(ipamRef={"name": "nb1"}), "False", "WaitingForDependencies")
    text = str(why_report(snapshot(failed, waiting), waiting.key).data())
    assert "Ipam" in text
    assert "nb1" in text


def test_a_bundle_with_pseudonyms_has_no_host_of_a_server() -> None:
    spec = {"id": "nb1", "type": "netbox", "url": URL, "tokenSecretRef": {"name": "netbox-acme"}}
    message = f"the IPAM at {URL} does not answer Proxmox as it should (403 Forbidden)"
    status = {"conditions": [{"type": "Ready", "status": "False", "reason": "StagingFailed", "message": message}]}
    nic = {
        "metadata": {"name": "n1", "namespace": "web"},
        "spec": {"addresses": ["192.0.2.17"]},
        "status": {"ipam": [{"address": "192.0.2.17", "macAddress": "bc:24:11:aa:bb:cc", "zone": "z", "vnet": "v"}]},
    }
    objects = {"Ipam": [{"metadata": {"name": "nb1"}, "spec": spec, "status": status}], "NicAttachment": [nic]}
    files = files_of(Material(objects, [], {}, {}, {}), b"k" * 32)
    text = "\n".join(files.values())
    assert "acme.example" not in text
    assert "192.0.2.17" not in text
    assert "bc:24:11:aa:bb:cc" not in text
