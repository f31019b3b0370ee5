"""Who may do what."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, route


@route("GET", "/access/permissions")
def permissions(_lab: Lab, _call: Call) -> Any:
    everything = ("SDN.Allocate", "SDN.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify", "VM.Audit", "VM.Config.Network")
    return {path: dict.fromkeys(everything, 1) for path in ("/", "/sdn", "/nodes", "/vms", "/access")}
