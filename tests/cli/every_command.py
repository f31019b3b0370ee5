"""Every command of ``pve-evpn``, in the order a day with it could have, against a stack that runs.

The stack may be on the model or on real FRR. What each command says in detail is tested beside this; here each one is
run as a user runs it: a process, a kubeconfig with a token, an exit status, and words that it must say.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tarfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.full_tables import FullTables, environment, run
from tests.e2e.stack import TOKEN, Stack
from tests.waiting import await_

#: Commands that are no user's: the operator, which runs anyway.
LEFT_OUT = {"run"}
PVE = {"PVE_TOKEN_ID": TOKEN[0], "PVE_TOKEN": TOKEN[1]}
MAC = "bc:24:11:11:11:11"


@dataclass
class Tour:
    """What was run so far. ``folder`` takes files that commands read and write."""

    stack: Stack
    full: FullTables
    kubeconfig: Path
    folder: Path
    used: set[str] = field(default_factory=set)

    def say(self, *arguments: str, status: int = 0, words: str = "", stdin: str = "", **variables: str) -> str:
        """Run one command; what it printed. Raises AssertionError where status, words or secrecy are not as wanted."""
        self.used.add(arguments[0])
        done = run(self.kubeconfig, *arguments, stdin=stdin, **variables)
        assert done.returncode == status, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        said = done.stdout + done.stderr
        assert words in said, f"{' '.join(arguments)} does not say {words!r}:\n{said}"
        for secret in (TOKEN[1], yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]["token"]):
            assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", said), f"{arguments} shows a secret"
        assert "Traceback" not in said, said
        return done.stdout

    def data(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.say(*arguments, "-o", "json", status=status))

    def whole(self) -> None:
        """Run everything. The seed is applied and Ready."""
        self._see()
        self._before_a_change()
        self._act()
        self._others()
        self._leave()

    # --- see what is there ------------------------------------------------------------------------------------------

    def _see(self) -> None:
        self.say("status", words="ezone1")
        assert self.data("status").keys() >= {"clusters", "zones"}
        self.say("why", "vnet/evpn1", words="evpn1")
        self.say("why", "nic/vm1-net0", "-n", "default", words="vm1-net0")
        for what in (MAC, "BC-24-11-11-11-11", "100", "vm1-net0"):
            assert MAC in self.say("trace", what)
        self.say("trace", "bc:24:11:00:00:00", status=1, words="no NicAttachment has")
        assert self.data("routes", "evpn1", "--no-full", status=0)["source"] == [
            "From statuses, which hold a part: --no-full."
        ]
        for name in ("peers", "vni"):
            assert "pve-pve1" in self.data(name, "pve1")
            self.say(name, "pve9", status=1, words="there is no EvpnNode pve9")
        assert "polled" in self.data("routes", "evpn1", "--full")["source"][0]
        for form, words in (("svg", "<svg"), ("dot", "graph"), ("mermaid", "graph LR"), ("html", "<html")):
            self.say("graph", "-o", form, words=words)
        self._ui()

    def _ui(self) -> None:
        self.used.add("ui")
        command = [sys.executable, "-m", "pve_evpn", "ui", "--no-browser"]
        with subprocess.Popen(command, env=environment(self.kubeconfig), stdout=subprocess.PIPE, text=True) as page:
            assert page.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+/", page.stdout.readline())
            assert address
            assert b"<html" in urllib.request.urlopen(address[0], timeout=10).read()
            page.send_signal(signal.SIGINT)
            assert page.wait(20) == 0

    # --- before a change --------------------------------------------------------------------------------------------

    def _before_a_change(self) -> None:
        _, _, zone, vnet, _ = seed = self.stack.seed()
        file = self.folder / "networks.yaml"
        file.write_text(yaml.safe_dump_all(seed))
        self.say("plan", "-f", str(file))
        changed = {**zone, "spec": {**zone["spec"], "mtu": 1400}}
        self.say("plan", "-f", "-", status=2, words="disruptive", stdin=yaml.safe_dump(changed))
        stolen = {**vnet, "metadata": {**vnet["metadata"], "name": "other"}, "spec": {**vnet["spec"], "id": "other"}}
        self.say("plan", "-f", "-", status=1, words="VniConflict", stdin=yaml.safe_dump(stolen))
        ca = self.folder / "ca.pem"
        ca.write_text(self.stack.server.ca_pem)
        server = ("--endpoint", self.stack.server.url, "--ca-file", str(ca))
        self.say("export", *server, "--nics", words="EVPN1", **PVE)
        self.say("export", *server, "-d", str(self.folder / "exported"), **PVE)
        assert (self.folder / "exported" / "kustomization.yaml").exists()
        checked = self.data("doctor")
        assert {row["check"]: row["grade"] for row in checked["cluster/pve"]}["Authenticated"] == "ok"
        found = {row["check"]: row["grade"] for row in checked["tables/pve"]}
        assert found == dict.fromkeys(("full tables", "full tables: certificate", "full tables: your right"), "ok")
        self.say("doctor", "--offline", *server, words="fingerprint", **PVE)

    # --- act --------------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        stack = self.stack
        cluster, _, _, vnet, _ = stack.seed()
        self.say("pause", "vnet/evpn1", words="Nothing was changed")
        self.say("pause", "vnet/evpn1", "--yes")
        stack.await_condition(vnet, "Paused", "AnnotationPaused")
        self.say("resume", "vnet/evpn1", "--yes")
        stack.await_condition(vnet, "Paused", "NotPaused")
        self.say("reconcile", "pvec/pve", "--yes")
        self.say("lock", "pve", words="SDN LOCK OF pve")
        stack.apply({**cluster, "spec": {**cluster["spec"], "apply": {"policy": "Manual"}}})
        waiting = {**vnet, "spec": {**vnet["spec"], "alias": "named by hand"}}
        stack.apply(waiting)
        stack.await_condition(vnet, "Ready", "AwaitingApproval")
        self.say("why", "vnet/evpn1", status=3, words="approve")
        self.say("approve", "pve", words="Nothing was changed")
        self.say("approve", "pve", "--yes")
        stack.await_ready(waiting)
        stack.apply(cluster)

    # --- other ------------------------------------------------------------------------------------------------------

    def _others(self) -> None:
        archive = self.folder / "report.tar.gz"
        self.say("bundle", "--anonymise", "-f", str(archive))
        with tarfile.open(archive) as packed:
            files = {each.name: packed.extractfile(each) for each in packed if each.isfile()}
            assert len(files) > 5
            for name, content in files.items():
                text = content.read() if content else b""
                assert MAC.encode() not in text, name
                assert b'192.168.16.1"' not in text, name
        for shell in ("bash", "zsh"):
            self.say("completion", shell, words="pve")
        self.say("version", words="pve-evpn")
        cluster = self.stack.seed()[0]
        file = self.folder / "clusters.yaml"
        file.write_text(yaml.safe_dump(cluster))
        self.say("apply-clusters", str(file), words="ProxmoxCluster pve: applied")

    def _leave(self) -> None:
        stack = self.stack
        _, controller, zone, vnet, nic = stack.seed()
        spares = [
            {
                **vnet,
                "metadata": {"name": name, "namespace": "default"},
                "spec": {**vnet["spec"], "id": name, "vni": vni},
            }
            for name, vni in (("spare1", 7001), ("spare2", 7002))
        ]
        for spare in spares:
            spare["spec"].pop("subnets", None)
        stack.apply(*spares)
        stack.await_ready(*spares)
        self.say("orphan", "vnet/spare1", words="spare1 stays in Proxmox")
        self.say("orphan", "vnet/spare1", "--yes")
        stack.delete(spares[0])
        assert "spare1" in stack.lab.sdn.running["vnets"]
        self.say("release-finalizers", "vnet/spare2", "--yes", status=1, words="the operator is running")
        stack.stop_operator()
        try:
            stack.delete(spares[1], wait=False)
            self.say("release-finalizers", "--deleting", words="spare2 stays in Proxmox")
            self.say("release-finalizers", "--deleting", "--yes", words="freed")
            await_("spare2 is gone", lambda: not stack.get(spares[1]))
        finally:
            self.full.start_operator()
        assert "spare2" in stack.lab.sdn.running["vnets"]
        # The spare VNets stay in Proxmox and hold their zone there.
        stack.delete(nic, vnet)
        self.say("orphan", "evpnzone/ezone1", "evpncontroller/evpn1", "--yes")
        stack.delete(zone, controller)
