"""What ``make lab`` prints: how to reach the lab with curl, proxmoxer, the operator, vtysh and ssh."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pve_lab.dataplane.frr import FrrDataplane
from pve_lab.ports import Dataplane


def api_clients(url: str, token: str, secret: str, ca_file: Path | None) -> str:
    """Commands to copy. Without a CA file (plain HTTP, or none asked for) the certificate is not checked."""
    user, _, name = token.partition("!")
    address = urlsplit(url)
    verify = f"--cacert {ca_file} " if ca_file else "" if address.scheme == "http" else "--insecure "
    parts = [
        "curl:",
        f"  curl {verify}-H 'Authorization: PVEAPIToken={token}={secret}' {url}/api2/json/cluster/sdn/zones",
    ]
    if address.scheme == "https":
        trust = f"verify_ssl={str(ca_file)!r}" if ca_file else "verify_ssl=False"
        parts += [
            "proxmoxer:",
            f"  ProxmoxAPI({address.hostname!r}, port={address.port}, user={user!r}, token_name={name!r},",
            f"             token_value={secret!r}, {trust}).cluster.sdn.zones.get()",
        ]
    if address.scheme == "https" and ca_file:
        parts += [
            "operator (in its namespace, with the ProxmoxCluster of examples/seed pointing here):",
            f"  kubectl -n pve-evpn-system create secret generic pve-credentials --from-literal=tokenId='{token}'"
            f" --from-literal=token={secret} --from-file=ca.crt={ca_file}",
            "  kubectl -n pve-evpn-system label secret pve-credentials pve-evpn.dev/cluster=pve",
            f"  kubectl -n pve-evpn-system annotate secret pve-credentials pve-evpn.dev/endpoints={url}",
            f"  spec.endpoints: [{url}]",
        ]
    return "\n".join(parts)


def node_access(plane: Dataplane) -> str:
    """What the data plane is, what it leaves out, and how to read its nodes' FRR."""
    lines = list(plane.notes)
    if isinstance(plane, FrrDataplane):
        frr = plane.frr
        hosts = frr.folder.path / "known_hosts"
        hosts.write_text(frr.ssh.known_hosts)
        lines.append("Read the nodes' FRR, with vtysh as root or as the operator does by ssh:")
        for name, node in frr.nodes.items():
            lines.append(f"  vtysh --vty_socket {node.space.folder / 'run'}   # {name}")
        key = f"ssh -i {frr.ssh.key.path} -o UserKnownHostsFile={hosts} -p {frr.ssh.port}"
        lines += [f"  {key} {frr.ssh.user}@{address} read   # {name}" for name, address in frr.ssh.addresses.items()]
    return "\n".join(lines)
