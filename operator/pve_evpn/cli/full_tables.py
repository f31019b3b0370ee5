"""Full tables from the operator's own endpoint (``kube.tables``), with the caller's token; or why there are none.

The endpoint is found by the Leases in the operator's namespace: that of the ProxmoxCluster names the replica that has
the tables, and that of the replica says where it listens and which certificate it has. The way there is a port-forward
as kubectl's, or a URL. The token is sent only to a server with that certificate, or with one that a CA vouches for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import typer
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP
from pve_evpn.cli import options
from pve_evpn.cli.failures import Refusal
from pve_evpn.cli.installation import OPERATOR_NAMESPACE
from pve_evpn.cli.report.endpoint import EndpointSeen
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.kube.leader import LABELS
from pve_evpn.kube.members import ANNOTATION_FINGERPRINT, ANNOTATION_PORT, LABEL_REPLICA
from pve_evpn.kube.ownership import ANNOTATION_CLUSTER, LABEL_CLUSTER_OF
from pve_evpn.text import from_outside

_PANEL = "Full tables"
URL, TOKEN_FILE = "PVE_EVPN_TABLES_URL", "PVE_EVPN_TABLES_TOKEN_FILE"

#: Seconds for a connection and for a pause in an answer; bytes of an answer; attempts to meet the replica of a cluster.
_SECONDS, _LONGEST, _ATTEMPTS = 20.0, 256 * 2**20, 8
_MISDIRECTED = 421
#: Seconds that the other end has to close a connection.
_END_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a command that may show full tables. ``full``: None where it is to be found out."""

    full: Annotated[
        bool | None,
        typer.Option(
            "--full/--no-full", show_default="where the operator serves them", rich_help_panel=_PANEL,
            help="Whether to read every row from the operator instead of the part that statuses hold.",
        ),
    ] = None  # fmt: skip
    url: Annotated[
        str,
        typer.Option(
            "--tables-url", metavar="URL", envvar=URL, rich_help_panel=_PANEL, show_default="through a port-forward",
            help="Where the operator serves them, https://host:8443.",
        ),
    ] = ""  # fmt: skip
    ca_file: Annotated[
        str,
        typer.Option(
            "--tables-ca-file", metavar="FILE", rich_help_panel=_PANEL,
            show_default="the certificate that the replica's Lease names", help="CA of its certificate (PEM).",
        ),
    ] = ""  # fmt: skip
    token_file: Annotated[
        str,
        typer.Option(
            "--tables-token-file", metavar="FILE", envvar=TOKEN_FILE, rich_help_panel=_PANEL,
            show_default="the kubeconfig's", help="File with the token to send.",
        ),
    ] = ""  # fmt: skip
    operator_namespace: options.OperatorNamespace = OPERATOR_NAMESPACE


class Unavailable(Exception):
    """Full tables cannot be had; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Replica:
    pod: str
    port: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Way:
    """How to reach the endpoint.

    ``kubeconfig`` is the caller's header for the API server, ``token`` the one for the endpoint. ``pins``: SHA-256 of
    the certificates that are trusted; none: a CA decides. ``replicas``: to be reached through a port-forward, in this
    order; none: ``url`` is.
    """

    url: str
    configuration: Any
    kubeconfig: str
    token: str
    pins: frozenset[str] = field(default_factory=frozenset)
    replicas: tuple[_Replica, ...] = ()
    namespace: str = ""
    ca_file: str = ""

    @property
    def has_token(self) -> bool:
        """Whether there is a token to show; a client certificate is none."""
        return self.token.startswith("Bearer ")


async def examine(api: client.ApiClient, wanted: Wanted, cluster: str) -> EndpointSeen:
    """What of the endpoint is seen from here, by one request with the caller's token, if there is one.

    It raises no Unavailable: why there is no answer is part of what is seen.
    """
    try:
        replicas = tuple(await _replicas(api, wanted.operator_namespace, cluster))
    except ApiException as error:
        return EndpointSeen(unread=f"you may not list leases in {wanted.operator_namespace} ({error.status})")
    seen = EndpointSeen(pods=tuple(replica.pod for replica in replicas), url=wanted.url)
    if not replicas:
        return seen
    seen = replace(seen, allowed=await _allowed(api, cluster))
    way = await _way_to(api, wanted, replicas)
    seen = replace(seen, has_token=way.has_token)
    try:
        # A node of that name cannot be, so no table is sent.
        answer = await asyncio.to_thread(_answer, way, f"/tables/v1/proxmoxclusters/{quote(cluster)}?node=-&table=vnis")
    except Unavailable as error:
        return replace(seen, unread=str(error))
    return replace(
        seen, status=answer.status, message=answer.message, until=_end_of(answer.certificate),
        fingerprint=hashlib.sha256(answer.certificate).hexdigest(), pod=answer.pod,
    )  # fmt: skip


async def _allowed(api: client.ApiClient, cluster: str) -> bool | None:
    """Whether the API server lets the kubeconfig's user read the cluster's tables; None where it does not say."""
    attributes = client.V1ResourceAttributes(
        verb="get", group=GROUP, resource="proxmoxclusters", subresource="tables", name=cluster
    )
    body = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    try:
        answer = await client.AuthorizationV1Api(api).create_self_subject_access_review(body)
    except ApiException:
        return None
    return bool(answer.status.allowed)


def _end_of(certificate: bytes) -> datetime:
    """Until when a certificate is valid. Imported here: no other command needs it."""
    from cryptography import x509

    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


async def tables_of(
    api: client.ApiClient, wanted: Wanted, cluster: str, path: str, tables: Iterable[str], nodes: Iterable[str] = ()
) -> Any:
    """The endpoint's answer, or where there is none and the user does not insist, a text that says why.

    Args:
        api: The caller's client.
        wanted: The options.
        cluster: The ProxmoxCluster whose tables they are.
        path: Below ``/tables/v1/``.
        tables: Which ones.
        nodes: Of these nodes of a cluster; of all where it is empty.

    Raises Refusal where the user insists.
    """
    if wanted.full is False:
        return "--no-full"
    try:
        way = await _way(api, wanted, cluster)
        query = urlencode([*(("table", table) for table in tables), *(("node", node) for node in nodes)])
        target = f"/tables/v1/{quote(path)}?{query}"
        answer = await asyncio.to_thread(_ask, way, target)
    except Unavailable as error:
        if wanted.full:
            raise Refusal(f"full tables cannot be had: {error}") from None
        return str(error)
    rows = [rows for node in answer["nodes"] for rows in node.get("tables", {}).values()]
    if wanted.full is None and all(each is None for each in rows):
        return "no source of the operator shows the nodes' own tables now (it takes `ssh` in observe.sources)"
    return answer


async def vnet_tables_of(
    api: client.ApiClient, snapshot: Snapshot, wanted: Wanted, vnet: Resource[Any], tables: Iterable[str]
) -> Any:
    """:func:`tables_of` of a VNet."""
    zone = snapshot.objects.get(ObjectKey("EvpnZone", "", vnet.spec.zone_ref.name)) if vnet.spec else None
    cluster = zone.spec.cluster_ref.name if zone and zone.spec else ""  # a tenant may not be able to read the zone
    return await tables_of(api, wanted, cluster, f"namespaces/{vnet.key.namespace}/vnets/{vnet.key.name}", tables)


async def _way(api: client.ApiClient, wanted: Wanted, cluster: str) -> _Way:
    try:
        replicas = await _replicas(api, wanted.operator_namespace, cluster)
    except ApiException as error:
        if not wanted.url:
            raise Unavailable(f"you may not list leases in {wanted.operator_namespace} ({error.status})") from None
        replicas = []
    if not wanted.url and not replicas:
        raise Unavailable("the operator does not serve them (`tables.enabled` of the chart)")
    way = await _way_to(api, wanted, replicas)
    if not way.has_token:
        hint = "kubectl create token NAME > FILE and --tables-token-file FILE"
        raise Unavailable(f"your kubeconfig has no token to show the operator: {hint}")
    return way


async def _way_to(api: client.ApiClient, wanted: Wanted, replicas: Iterable[_Replica]) -> _Way:
    """The way to these replicas, with the token of the options, else that of the kubeconfig, if it has one."""
    replicas = tuple(replicas)
    kubeconfig = str((await api.configuration.auth_settings()).get("BearerToken", {}).get("value", ""))
    return _Way(
        url=wanted.url,
        configuration=api.configuration,
        kubeconfig=kubeconfig,
        token=_token(wanted.token_file) or kubeconfig,
        pins=frozenset() if wanted.ca_file else frozenset(replica.fingerprint for replica in replicas),
        replicas=() if wanted.url else replicas,
        namespace=wanted.operator_namespace,
        ca_file=wanted.ca_file,
    )


async def _replicas(api: client.ApiClient, namespace: str, cluster: str) -> list[_Replica]:
    """Every replica that serves tables, the one that leads for the cluster first."""
    selector = f"app.kubernetes.io/name={LABELS['app.kubernetes.io/name']}"
    leases = (await client.CoordinationV1Api(api).list_namespaced_lease(namespace, label_selector=selector)).items
    labels = [(lease, lease.metadata.labels or {}, lease.metadata.annotations or {}) for lease in leases]
    leaders = {
        lease.spec.holder_identity
        for lease, names, notes in labels
        if LABEL_CLUSTER_OF in names and notes.get(ANNOTATION_CLUSTER) == cluster and lease.spec
    }
    found = [
        (lease.spec.holder_identity not in leaders, _replica(lease.spec.holder_identity, notes))
        for lease, names, notes in labels
        if LABEL_REPLICA in names and ANNOTATION_PORT in notes and lease.spec and lease.spec.holder_identity
    ]
    return [replica for _, replica in sorted(found, key=lambda each: (each[0], each[1].pod))]


def _replica(identity: str, annotations: dict[str, str]) -> _Replica:
    port = annotations[ANNOTATION_PORT]
    return _Replica(
        identity.rpartition("_")[0], int(port) if port.isdecimal() else 0, annotations.get(ANNOTATION_FINGERPRINT, "")
    )


def _token(file: str) -> str:
    """The header with a file's token; "" without a file. Raises Refusal."""
    try:
        return f"Bearer {Path(file).read_text().strip()}" if file else ""
    except OSError as error:
        raise Refusal(f"--tables-token-file {file}: {error.strerror}") from None


# --- one request, in a thread ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """``certificate``: the server's, in DER. ``pod``: the replica that was asked; empty where a URL was."""

    status: int
    body: Any
    certificate: bytes
    pod: str = ""

    @property
    def message(self) -> str:
        """Of a refusal, in the operator's words."""
        return from_outside(self.body.get("message", "") if isinstance(self.body, dict) else "")


def _ask(way: _Way, target: str) -> Any:
    """The JSON of a good answer. Raises Unavailable."""
    answer = _answer(way, target)
    if answer.status == http.client.OK:
        return answer.body
    message = f": {answer.message}" if answer.message else ""
    raise Unavailable(f"the operator answers {answer.status}{message}")


def _answer(way: _Way, target: str) -> _Answer:
    """The answer of the replica that has the tables; of another one where that cannot be met. Raises Unavailable."""
    # A Service leads to any replica, so it is asked again.
    first, *others = way.replicas or (None,) * _ATTEMPTS
    answer = _request(way, target, first)
    for replica in others:
        if answer.status != _MISDIRECTED:
            break
        answer = _request(way, target, replica)
    return answer


def _request(way: _Way, target: str, replica: _Replica | None) -> _Answer:
    """One answer. Raises Unavailable."""
    place = urlsplit(way.url)
    if way.url and (place.scheme != "https" or not place.hostname):
        raise Refusal(f"--tables-url {way.url} is no address such as https://host:8443")
    host = place.hostname or "localhost"
    try:
        raw = _forwarded(way, replica) if replica else socket.create_connection((host, place.port or 443), _SECONDS)
        with contextlib.closing(raw), _secured(raw, way, host) as secured:
            connection = http.client.HTTPConnection(host)
            connection.sock = secured
            connection.request("GET", target, headers={"Authorization": way.token} if way.token else {})
            answer = connection.getresponse()
            body = answer.read(_LONGEST + 1)
            if len(body) > _LONGEST:
                raise Unavailable("the operator's answer has no end")
            certificate = secured.getpeercert(binary_form=True) or b""
            return _Answer(answer.status, json.loads(body), certificate, replica.pod if replica else "")
    except (OSError, http.client.HTTPException, ValueError) as error:
        where = f"pod {replica.pod}" if replica else way.url
        raise Unavailable(f"no answer from {where}: {from_outside(error) or type(error).__name__}") from None


def _forwarded(way: _Way, replica: _Replica) -> Any:
    """A socket to the replica's port through the API server. Raises Unavailable."""
    from kubernetes.stream import ws_client

    pod, port, configuration = replica.pod, replica.port, way.configuration
    path = f"/api/v1/namespaces/{quote(way.namespace)}/pods/{quote(pod)}/portforward?ports={port}"
    headers = {"authorization": way.kubeconfig} if way.kubeconfig else {}
    try:
        forward = ws_client.portforward_call(configuration, "GET", configuration.host + path, headers=headers)
    except Exception as error:
        hint = "it takes `create pods/portforward` there, or --tables-url"
        reason = from_outside(getattr(error, "reason", error), (way.kubeconfig.removeprefix("Bearer "),), 200)
        raise Unavailable(f"no port-forward to {way.namespace}/{pod} ({hint}): {reason}") from None
    return forward.socket(port)


@contextlib.contextmanager
def _secured(raw: Any, way: _Way, host: str) -> Iterator[ssl.SSLSocket]:
    """TLS with the server that was meant: nothing has been sent yet where it is another one."""
    context = ssl.create_default_context(cafile=way.ca_file or None)
    if way.pins:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False) as secured:
        secured.settimeout(_SECONDS)
        held = secured.makefile("rb")  # http.client closes its socket with the answer; :func:`_end` is to do that
        try:
            secured.do_handshake()
            certificate = secured.getpeercert(binary_form=True) or b""
            if way.pins and hashlib.sha256(certificate).hexdigest() not in way.pins:
                raise Unavailable(
                    "no replica's Lease names the server's certificate (--tables-ca-file can name its CA instead)"
                )
            yield secured
        finally:
            _end(secured)
            held.close()


def _end(secured: ssl.SSLSocket) -> None:
    """Read to the end before closing: the library's thread of a port-forward ends with a traceback otherwise."""
    with contextlib.suppress(OSError):
        secured.shutdown(socket.SHUT_WR)
        secured.settimeout(_END_SECONDS)
        while secured.recv(65536):
            pass
