"""``pve-evpn export``: manifests for the EVPN networks that Proxmox has already. Applying them changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from kubernetes.aio import client

from pve_evpn.cli import complete, desired, options, output, proxmox
from pve_evpn.cli.failures import NOT_GOOD, Refusal, guarded
from pve_evpn.cli.report.export import export_report, heading
from pve_evpn.domain.export import Export, Manifest, Request, export
from pve_evpn.domain.export.names import slug
from pve_evpn.domain.objects import Desired
from pve_evpn.domain.state import ClusterState, GuestState

_Form = Literal["yaml", "json", "markdown"]
_KUSTOMIZATION = "kustomization.yaml"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says of what to export, and as what."""

    access: proxmox.Access
    cluster: str
    name: str
    credentials_name: str
    namespace: str
    observe_only: bool
    by_alias: bool
    guests: Callable[[GuestState], bool] | None


app = typer.Typer(add_completion=False)


@app.command(
    epilog="Example: PVE_TOKEN_ID=root@pam!export PVE_TOKEN_FILE=token pve-evpn export --endpoint https://pve1:8006 "
    "--fingerprint AB:CD:... --observe-only -d networks"
)
@options.grouped
def export_(
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="NAME",
            autocompletion=complete.clusters,
            help="A ProxmoxCluster in Kubernetes; what its objects stand for already is left out.",
        ),
    ] = "",
    *,
    access: proxmox.Access,
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="Of the new ProxmoxCluster.", show_default="as Proxmox calls the cluster"),
    ] = "",
    credentials_name: Annotated[
        str,
        typer.Option(
            "--secret", metavar="NAME", help="The Secret that the new ProxmoxCluster will use; you create it."
        ),
    ] = "pve-credentials",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="For VNets and NicAttachments.")
    ] = "default",
    observe_only: Annotated[
        bool, typer.Option("--observe-only", help="Have the operator change nothing at first.")
    ] = False,
    by_alias: Annotated[
        bool, typer.Option("--by-alias", help="Name VNets by their alias where they have one.")
    ] = False,
    nics: Annotated[bool, typer.Option("--nics", help="The NICs of all guests on these VNets too.")] = False,
    pool: Annotated[
        list[str] | None, typer.Option(metavar="POOL", help="NICs of the guests of this pool; may be given again.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="NICs of the guests with this tag; may be given again.")
    ] = None,
    vmid: Annotated[
        list[str] | None, typer.Option(metavar="N|N-M", help="NICs of these guests; may be given again.")
    ] = None,
    directory: Annotated[
        str, typer.Option("--directory", "-d", metavar="DIR", help="Write a kustomize folder, one file per zone.")
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 3 if something cannot be said.")] = False,
    form: Annotated[_Form, typer.Option("--output", "-o", help="Form of the output.")] = "yaml",
) -> int:
    """Read Proxmox and write manifests of its EVPN networks: controllers, zones, VNets with subnets and firewall. On
    demand NICs too. Applying them changes nothing in Proxmox. What they cannot say is listed at their top and stays as
    it is. Exit status 3: with --strict, if there is something like that.
    """

    async def work() -> int:
        guests = _guests(pool or [], tag or [], vmid or [], nics=nics)
        asked = _Asked(access, cluster, name, credentials_name, namespace, observe_only, by_alias, guests)
        return await _export(asked, directory, form, strict=strict)

    return guarded(work())


async def _export(asked: _Asked, directory: str, form: _Form, *, strict: bool) -> int:
    if not asked.cluster:
        request, state, found = await _from_endpoint(asked)
    else:
        async with desired.kubernetes() as api:
            if api is None:
                raise Refusal("--cluster needs a kubeconfig")
            request, state, found = await _from_cluster(asked, api)
    head = heading(request, state, found, created=request.existing is None)
    if directory:
        files = _folder(found, head)
        _write(Path(directory), files)
        print(f"{directory}: {', '.join(files)}", file=sys.stderr)
    if form == "markdown":
        output.write(export_report(found), "markdown")
    elif form == "json" and not directory:
        items = [manifest.document() for manifest in found.manifests]
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2, ensure_ascii=False))
    elif not directory:
        sys.stdout.write(_comment(head) + _documents(found.manifests))
    for omission in found.unexpressed:
        print(f"pve-evpn: not exported: {output.clean(omission)}", file=sys.stderr)
    return NOT_GOOD if strict and found.unexpressed else 0


# --- reading --------------------------------------------------------------------------------------------------------


async def _from_endpoint(asked: _Asked) -> tuple[Request, ClusterState, Export]:
    if not asked.access.endpoints:
        raise Refusal("say where Proxmox is: --endpoint https://host:8006, or --cluster NAME of a ProxmoxCluster")
    tls = proxmox.own_tls(asked.access)
    raw = {
        "endpoints": list(asked.access.endpoints),
        "credentialsSecretRef": {"name": asked.credentials_name},
        **({"tls": tls} if tls else {}),
    }
    return await _read(asked, asked.name, raw, None, None)


async def _from_cluster(asked: _Asked, api: client.ApiClient) -> tuple[Request, ClusterState, Export]:
    raw = (await proxmox.cluster_object(api, asked.cluster))["spec"]
    known = await desired.read_cache(api)
    if known.unread:
        raise Refusal(f"you may not list {', '.join(known.unread)}, so it is not known what is exported already")
    return await _read(asked, asked.cluster, raw, known.cache.desired(asked.cluster), api)


async def _read(
    asked: _Asked,
    name: str,
    raw: dict[str, Any],
    existing: Desired | None,
    api: client.ApiClient | None,
) -> tuple[Request, ClusterState, Export]:
    spec = proxmox.spec_from(raw, proxmox.overrides(asked.access))
    with output.working("reading Proxmox") as now:
        async with proxmox.gateway_to(asked.access, name or "export", spec, api) as gateway:
            state = await proxmox.read_state(gateway, guests=asked.guests is not None)
            now("reading the firewalls of VNets")
            firewalls = await proxmox.read_firewalls(gateway, proxmox.evpn_vnets(state))
    request = Request(
        cluster=name or slug(state.cluster_name) or "pve",
        cluster_spec=raw,
        existing=existing,
        namespace=asked.namespace,
        observe_only=asked.observe_only,
        by_alias=asked.by_alias,
        guests=asked.guests,
    )
    return request, state, export(state, firewalls, request)


def _guests(pool: list[str], tag: list[str], vmid: list[str], *, nics: bool) -> Callable[[GuestState], bool] | None:
    """Which guests' NICs are asked for; None for none. Raises Refusal."""
    pools, tags, spans = set(pool), set(tag), [_span(text) for text in vmid]
    if not (pools or tags or spans):
        return (lambda _guest: True) if nics else None
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
