"""``pve-evpn export``: manifests for the EVPN networks that Proxmox has already. Applying them changes nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client

from pve_evpn.cli import desired, output, proxmox
from pve_evpn.cli.failures import NOT_GOOD, Refusal, guarded
from pve_evpn.cli.report.export import export_report, heading
from pve_evpn.domain.export import Export, Manifest, Request, export
from pve_evpn.domain.export.names import slug
from pve_evpn.domain.objects import Desired
from pve_evpn.domain.state import ClusterState, GuestState

_FORMATS = ("yaml", "json", "markdown")
_KUSTOMIZATION = "kustomization.yaml"


def add(commands: Any) -> None:
    """Its arguments."""
    parser = commands.add_parser(
        "export",
        help="manifests for what Proxmox has already",
        description="Read Proxmox and write manifests of its EVPN networks: controllers, zones, VNets with subnets and "
        "firewall, on demand NICs. Applying them changes nothing in Proxmox. What they cannot say is listed at their "
        "top and stays as it is. Exit status 3: with --strict, if there is something like that.",
        epilog="example: PVE_TOKEN_ID=root@pam!export PVE_TOKEN_FILE=token pve-evpn export "
        "--endpoint https://pve1:8006 --fingerprint AB:CD:... --observe-only -d networks",
    )
    parser.add_argument(
        "--cluster", default="", metavar="NAME",
        help="a ProxmoxCluster in Kubernetes; what its objects stand for already is left out",
    )  # fmt: skip
    proxmox.add_arguments(parser)
    parser.add_argument("--name", default="", help="of the new ProxmoxCluster (default: as Proxmox calls the cluster)")
    parser.add_argument(
        "--secret", default="pve-credentials", metavar="NAME",
        help="the Secret that the new ProxmoxCluster will use (default: pve-credentials); you create it",
    )  # fmt: skip
    parser.add_argument("-n", "--namespace", default="default", help="for VNets and NicAttachments (default: default)")
    parser.add_argument("--observe-only", action="store_true", help="let the operator only look at first")
    parser.add_argument("--by-alias", action="store_true", help="name VNets by their alias where they have one")
    parser.add_argument("--nics", action="store_true", help="the NICs of all guests on these VNets too")
    parser.add_argument("--pool", action="append", default=[], help="NICs of the guests of this pool; repeatable")
    parser.add_argument("--tag", action="append", default=[], help="NICs of the guests with this tag; repeatable")
    parser.add_argument("--vmid", action="append", default=[], metavar="N|N-M", help="NICs of these guests; repeatable")
    parser.add_argument("-d", "--directory", metavar="DIR", help="write a kustomize folder, one file per zone")
    parser.add_argument("--strict", action="store_true", help="exit status 3 if something cannot be said")
    parser.add_argument("-o", "--output", choices=_FORMATS, default="yaml", help="form of the output (default: yaml)")
    parser.set_defaults(do=lambda arguments: guarded(_export(arguments)), offline=False)


async def _export(arguments: argparse.Namespace) -> int:
    if not arguments.cluster:
        request, state, found = await _from_endpoint(arguments)
    else:
        async with desired.kubernetes(arguments) as api:
            if api is None:
                raise Refusal("--cluster needs a kubeconfig")
            request, state, found = await _from_cluster(arguments, api)
    head = heading(request, state, found, created=request.existing is None)
    if arguments.directory:
        files = _folder(found, head)
        _write(Path(arguments.directory), files)
        print(f"{arguments.directory}: {', '.join(files)}", file=sys.stderr)
    if arguments.output == "markdown":
        output.write(export_report(found), "markdown")
    elif arguments.output == "json" and not arguments.directory:
        items = [manifest.document() for manifest in found.manifests]
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2, ensure_ascii=False))
    elif not arguments.directory:
        sys.stdout.write(_comment(head) + _documents(found.manifests))
    for omission in found.unexpressed:
        print(f"pve-evpn: not exported: {output.clean(omission)}", file=sys.stderr)
    return NOT_GOOD if arguments.strict and found.unexpressed else 0


# --- reading --------------------------------------------------------------------------------------------------------


async def _from_endpoint(arguments: argparse.Namespace) -> tuple[Request, ClusterState, Export]:
    if not arguments.endpoint:
        raise Refusal("say where Proxmox is: --endpoint https://host:8006, or --cluster NAME of a ProxmoxCluster")
    tls = proxmox.own_tls(arguments)
    raw = {
        "endpoints": arguments.endpoint,
        "credentialsSecretRef": {"name": arguments.secret},
        **({"tls": tls} if tls else {}),
    }
    return await _read(arguments, arguments.name, raw, None, None)


async def _from_cluster(arguments: argparse.Namespace, api: client.ApiClient) -> tuple[Request, ClusterState, Export]:
    raw = (await proxmox.cluster_object(api, arguments.cluster))["spec"]
    cache, unread = await desired.read_cache(api)
    if unread:
        raise Refusal(f"you may not list {', '.join(unread)}, so it is not known what is exported already")
    return await _read(arguments, arguments.cluster, raw, cache.desired(arguments.cluster), api)


async def _read(
    arguments: argparse.Namespace,
    name: str,
    raw: dict[str, Any],
    existing: Desired | None,
    api: client.ApiClient | None,
) -> tuple[Request, ClusterState, Export]:
    spec = proxmox.spec_from(raw, proxmox.overrides(arguments))
    guests = _guests(arguments)
    with output.working("reading Proxmox"):
        async with proxmox.gateway_to(arguments, name or "export", spec, api) as gateway:
            state = await proxmox.read_state(gateway, guests=guests is not None)
            firewalls = await proxmox.read_firewalls(gateway, proxmox.evpn_vnets(state))
    request = Request(
        cluster=name or slug(state.cluster_name) or "pve",
        cluster_spec=raw,
        existing=existing,
        namespace=arguments.namespace,
        observe_only=arguments.observe_only,
        by_alias=arguments.by_alias,
        guests=guests,
    )
    return request, state, export(state, firewalls, request)


def _guests(arguments: argparse.Namespace) -> Callable[[GuestState], bool] | None:
    """Which guests' NICs are asked for; None for none. Raises Refusal."""
    pools, tags, spans = set(arguments.pool), set(arguments.tag), [_span(text) for text in arguments.vmid]
    if not (pools or tags or spans):
        return (lambda _guest: True) if arguments.nics else None
    return lambda guest: (
        guest.pool in pools or bool(tags & guest.tags) or any(first <= guest.vmid <= last for first, last in spans)
    )


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise Refusal(f"--vmid {text}: a number or a range such as 100-199") from None


# --- writing --------------------------------------------------------------------------------------------------------


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {' ' * (len(line) - len(line.lstrip()))}{output.clean(line)}".rstrip() + "\n" for line in lines)


class _Plain(yaml.SafeDumper):
    """Values that are there twice are written twice: nobody reads anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _documents(manifests: Iterable[Manifest]) -> str:
    return "".join(
        f"---\n{yaml.dump(manifest.document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)}"
        for manifest in manifests
    )


def _folder(found: Export, head: Iterable[str]) -> dict[str, str]:
    """The files by name; the first one names the others."""
    groups = dict.fromkeys(manifest.group for manifest in found.manifests)
    files = {f"{group}.yaml": _documents(m for m in found.manifests if m.group == group) for group in groups}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    return {_KUSTOMIZATION: _comment(head) + yaml.safe_dump(kustomization, sort_keys=False), **files}


def _write(directory: Path, files: dict[str, str]) -> None:
    """Raises Refusal. A file that the folder no longer names stays, and is named on stderr."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{error.filename or directory}: {error.strerror}") from None
    for path in sorted(directory.glob("*.yaml")):
        if path.name not in files:
            print(f"pve-evpn: {path} is not part of the export", file=sys.stderr)
