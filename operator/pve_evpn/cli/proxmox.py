"""Proxmox, read with the caller's own credentials: what `export`, `plan` and others have in common.

Nothing is written, but for the one request by which `lock --release` removes a lock.

Credentials come from the environment or a file, never from the command line, where other users of the machine could
read them; else from the Secret of a ProxmoxCluster, if the caller may read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from kubernetes.aio import client
from pydantic import ValidationError

from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.cli import options
from pve_evpn.cli.failures import Refusal
from pve_evpn.cli.installation import OPERATOR_NAMESPACE
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.firewall import FirewallState
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import OLDEST_SUPPORTED, ClusterState, PveVersion
from pve_evpn.engine.secrets import ClusterSecrets, NotUsable
from pve_evpn.kube.adapters import OwnSecrets
from pve_evpn.kube.client import CustomObjects
from pve_evpn.leadership import IsLeader
from pve_evpn.pve import errors
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.gateway import Gateway
from pve_evpn.pve.reader import SERVICES
from pve_evpn.pve.transport import Trust

_PANEL = "How to reach Proxmox"
TOKEN_ID, TOKEN, TOKEN_FILE = "PVE_TOKEN_ID", "PVE_TOKEN", "PVE_TOKEN_FILE"
_NEEDS_TOKEN = (
    f"no credentials for Proxmox: set {TOKEN_ID} (user@realm!name) and {TOKEN} or {TOKEN_FILE}; a token that may read "
    "is enough (docs/proxmox-access.md)"
)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach Proxmox, by the command line; all of it may come from a ProxmoxCluster too.

    ``operator_namespace``: where the Secret of a ProxmoxCluster is, if it is to be read.
    """

    endpoints: Annotated[
        list[str],
        typer.Option(
            "--endpoint", metavar="URL", show_default=False, rich_help_panel=_PANEL,
            help="Proxmox' API, https://host:8006; may be given again.",
        ),
    ] = field(default_factory=list)  # fmt: skip
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file", metavar="FILE", show_default=f"${TOKEN_FILE}, else ${TOKEN}", rich_help_panel=_PANEL,
            help="File with the token's secret.",
        ),
    ] = ""  # fmt: skip
    fingerprint: Annotated[
        str,
        typer.Option(
            "--fingerprint", metavar="SHA256", rich_help_panel=_PANEL,
            help="SHA-256 of the server's certificate, as Proxmox shows it.",
        ),
    ] = ""  # fmt: skip
    ca_file: Annotated[
        str,
        typer.Option(
            "--ca-file", metavar="FILE", rich_help_panel=_PANEL,
            help="CA certificates that the server's has to be of (PEM).",
        ),
    ] = ""  # fmt: skip
    operator_namespace: options.OperatorNamespace = OPERATOR_NAMESPACE


def own_credentials(access: Access) -> Credentials | None:
    """From the environment or a file; None where there are none. Raises Refusal for those that cannot be."""
    token_id = os.environ.get(TOKEN_ID, "")
    file = access.token_file or os.environ.get(TOKEN_FILE, "")
    if not token_id and not file:
        return None
    try:
        secret = Path(file).read_text(encoding="utf-8").strip() if file else os.environ.get(TOKEN, "")
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror}") from None
    try:
        return Credentials.from_secret({"tokenId": token_id, "token": secret})
    except ValueError as error:
        raise Refusal(f"the credentials in {TOKEN_ID} and {TOKEN_FILE if file else TOKEN}: {error}") from None


def own_tls(access: Access) -> dict[str, Any]:
    """``spec.tls`` of a ProxmoxCluster by the command line; empty where it says nothing. Raises Refusal."""
    if access.fingerprint and access.ca_file:
        raise Refusal("give either --fingerprint or --ca-file")
    if access.fingerprint:
        return {"fingerprint": access.fingerprint}
    if access.ca_file:
        try:
            return {"caBundle": Path(access.ca_file).read_text(encoding="utf-8")}
        except OSError as error:
            raise Refusal(f"{access.ca_file}: {error.strerror}") from None
    return {}


def overrides(access: Access) -> dict[str, Any]:
    """Fields of a ProxmoxCluster's spec that the command line replaces, for this connection alone. Raises Refusal."""
    endpoints = {"endpoints": list(access.endpoints)} if access.endpoints else {}
    tls = own_tls(access)
    return {**endpoints, **({"tls": tls} if tls else {})}


def spec_from(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> ProxmoxClusterSpec:
    """A ProxmoxCluster's spec with some fields replaced. Raises Refusal that names the first field that is wrong."""
    try:
        return ProxmoxClusterSpec.model_validate({**raw, **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise Refusal(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


@asynccontextmanager
async def gateway_to(
    access: Access,
    name: str,
    spec: ProxmoxClusterSpec,
    api: client.ApiClient | None,
    *,
    may_write: IsLeader = lambda: False,
) -> AsyncIterator[Gateway]:
    """A connection that cannot write, by the command line, the environment and a ProxmoxCluster's spec.

    Args:
        name: Of the ProxmoxCluster.
        spec: Where it is and how it proves who it is. Whoever wrote it gets the credentials.
        api: Kubernetes, to read the cluster's Secrets where the caller has no token of their own; None for none.
        may_write: Asked before each write, in the thread that sends it.
    """
    secrets = ClusterSecrets(name, OwnSecrets(api, access.operator_namespace)) if api else None
    credentials = own_credentials(access) or await _stored_credentials(secrets, spec)
    try:
        gateway = Gateway(name, spec.endpoints, credentials, await _trust(secrets, spec), is_leader=may_write)
    except ValueError as error:
        raise Refusal(str(error)) from None
    try:
        yield gateway
    finally:
        gateway.close()


async def _stored_credentials(secrets: ClusterSecrets | None, spec: ProxmoxClusterSpec) -> Credentials:
    """Those of the ProxmoxCluster, under the rules that the operator keeps too. Raises Refusal."""
    if secrets is None:
        raise Refusal(_NEEDS_TOKEN)
    name = spec.credentials_secret_ref.name
    try:
        addresses = [*spec.endpoints, *([spec.proxy_url] if spec.proxy_url else [])]
        return Credentials.from_secret(await secrets.credentials(name, addresses))
    except NotUsable as error:
        raise Refusal(f"{_NEEDS_TOKEN}. Those of the ProxmoxCluster cannot be used: {error}") from None
    except ValueError as error:
        raise Refusal(f"Secret {name}: {error}") from None


async def _trust(secrets: ClusterSecrets | None, spec: ProxmoxClusterSpec) -> Trust:
    tls = spec.tls
    if tls is None:
        return Trust(proxy=spec.proxy_url)
    ca = tls.ca_bundle
    if (ref := tls.ca_secret_ref) is not None:
        if secrets is None:
            raise Refusal(f"the CA is in the Secret {ref.name}: give --ca-file or --fingerprint")
        try:
            ca = await secrets.value(ref.name, ref.key)
        except NotUsable as error:
            raise Refusal(f"tls.caSecretRef: {error}; or give --ca-file or --fingerprint") from None
    return Trust(ca, tls.fingerprint, bool(tls.insecure_skip_verify), spec.proxy_url)


@contextmanager
def explained() -> Iterator[None]:
    """Raise Refusal with one sentence for what Proxmox may answer."""
    try:
        yield
    except errors.Unreachable as error:
        raise Refusal(f"Proxmox cannot be reached: {error}") from None
    except errors.PveError as error:
        raise Refusal(f"Proxmox says: {error}") from None


async def read_state(gateway: Gateway, *, guests: bool) -> ClusterState:
    """Everything a plan depends on. Raises Refusal."""
    with explained():
        release = await gateway.version()
        if PveVersion.parse(release) < OLDEST_SUPPORTED:
            raise Refusal(f"Proxmox VE {release} has no SDN lock; {OLDEST_SUPPORTED} or newer is needed")
        return await gateway.read_cluster(release, guests=guests, services=tuple(SERVICES))


async def read_firewalls(gateway: Gateway, vnets: Iterable[str]) -> dict[str, FirewallState | None]:
    """The firewalls of running VNets; None for one that Proxmox does not show. Raises Refusal."""

    async def read(vnet: str) -> FirewallState | None:
        with contextlib.suppress(errors.Refused, errors.Forbidden):
            return await gateway.firewall(vnet)
        return None

    names = sorted(vnets)
    with explained():
        return dict(zip(names, await asyncio.gather(*map(read, names)), strict=True))


def evpn_vnets(state: ClusterState) -> list[str]:
    """The running VNets of EVPN zones: Proxmox shows no firewall of others."""
    running = state.sdn.running
    zones = {ref.id for ref, obj in running.items() if ref.kind is SdnKind.ZONE and obj.type == "evpn"}
    return [ref.id for ref, obj in running.items() if ref.kind is SdnKind.VNET and obj.props.get("zone") in zones]


async def cluster_object(api: client.ApiClient, name: str) -> Mapping[str, Any]:
    """A ProxmoxCluster as Kubernetes has it. Raises Refusal where there is none."""
    found = await CustomObjects(api).read(ObjectKey("ProxmoxCluster", "", name))
    if found is None:
        raise Refusal(f"there is no ProxmoxCluster {name}")
    return found
