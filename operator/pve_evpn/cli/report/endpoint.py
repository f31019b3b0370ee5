"""``pve-evpn doctor``: the operator's endpoint for full tables, and what the caller may read there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from pve_evpn.cli.report.check import Check, Grade
from pve_evpn.text import some_of

#: Days before a certificate's end from which it is said: cert-manager renews at a third of the lifetime, 30 of 90.
_WARNS_DAYS = 14
_GOOD = frozenset({HTTPStatus.OK, HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED})
_MEND_TOKEN = "kubectl create token NAME > FILE, and PVE_EVPN_TABLES_TOKEN_FILE=FILE"


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """What is seen of the endpoint for one ProxmoxCluster.

    Attributes:
        pods: The replicas that serve tables, the one that leads for the cluster first; none: it is off.
        url: Where it was asked; empty: through a port-forward.
        unread: Why no answer came, or why that is not known.
        status: HTTP's, 0 without an answer; ``message`` is that of a refusal. ``pod``: which replica answered.
        fingerprint: SHA-256 of its certificate, which ends at ``until``.
        has_token: Whether the caller has a token to show; a client certificate is none.
        allowed: Whether the kubeconfig's user may read the cluster's tables; None where the API server does not say.
    """

    pods: tuple[str, ...] = ()
    url: str = ""
    unread: str = ""
    status: int = 0
    message: str = ""
    pod: str = ""
    fingerprint: str = ""
    until: datetime | None = None
    has_token: bool = True
    allowed: bool | None = None


def endpoint_checks(cluster: str, seen: EndpointSeen, namespace: str, now: datetime) -> list[Check]:
    """The endpoint, its certificate, and the caller's right.

    Args:
        namespace: Of the operator.
    """
    name = "full tables"
    if not seen.pods:
        if seen.unread:
            return [Check(name, Grade.UNKNOWN, seen.unread)]
        return [
            Check(name, Grade.OK, "off: statuses show a part", "to serve them: helm upgrade --set tables.enabled=true")
        ]
    return [_answer(name, seen, namespace), *_certificate(name, seen, namespace, now), *_right(name, cluster, seen)]


def _answer(name: str, seen: EndpointSeen, namespace: str) -> Check:
    where = seen.url or f"pod {seen.pod or some_of(seen.pods)}"
    logs = f"kubectl logs -n {namespace} {seen.pods[0]}"
    if not seen.status:
        forward = "no port-forward" in seen.unread
        mend = (
            "let yourself `create pods/portforward` there, or use the way that administrators made: PVE_EVPN_TABLES_URL"
            if forward
            else f"{logs}; do the NetworkPolicy and tables.port let it through?"
        )
        return Check(name, Grade.WARN if forward else Grade.FAIL, seen.unread, mend)
    if seen.status in _GOOD:
        return Check(name, Grade.OK, f"{where} answers")
    text = f"{where} answers {seen.status}: {seen.message}"
    if seen.status == HTTPStatus.MISDIRECTED_REQUEST:
        return Check(name, Grade.WARN, text, "ask again: the lead may be moving; else docs/runbooks/PveEvpnNoLeader.md")
    if seen.status == HTTPStatus.SERVICE_UNAVAILABLE and "API server" in seen.message:
        mend = (
            "helm upgrade (rbac.create), or kubectl create clusterrolebinding pve-evpn-tables "
            f"--clusterrole=system:auth-delegator --serviceaccount={namespace}:pve-evpn-operator"
        )
        return Check(name, Grade.FAIL, text, mend)
    grade = Grade.WARN if seen.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NOT_FOUND) else Grade.FAIL
    return Check(name, grade, text, logs)


def _certificate(name: str, seen: EndpointSeen, namespace: str, now: datetime) -> Iterable[Check]:
    """That it is the pinned one, or of a CA, was checked before anything was sent."""
    if seen.until is None:
        return
    days = (seen.until - now).total_seconds() / 86400
    grade = Grade.FAIL if days < 0 else Grade.WARN if days < _WARNS_DAYS else Grade.OK
    ends = f"{'ended' if days < 0 else 'valid until'} {seen.until:%Y-%m-%d}"
    mend = (
        "renew the Secret of tables.tlsSecret (cert-manager: kubectl get certificate); a pod that made its own makes a "
        f"new one: kubectl rollout restart deployment -n {namespace}"
    )
    yield Check(f"{name}: certificate", grade, f"{ends}, SHA-256 {seen.fingerprint}", "" if grade is Grade.OK else mend)


def _right(name: str, cluster: str, seen: EndpointSeen) -> Iterable[Check]:
    """The endpoint's answer counts; else what the API server says of the kubeconfig's user."""
    name = f"{name}: your right"
    if seen.status == HTTPStatus.OK:
        yield Check(name, Grade.OK, f"you may get proxmoxclusters/tables of {cluster}")
    elif not seen.has_token:
        text = "your kubeconfig has a client certificate, which the endpoint does not take: it knows tokens only"
        yield Check(name, Grade.WARN, text, _MEND_TOKEN)
    elif seen.status == HTTPStatus.UNAUTHORIZED:
        text = "the API server does not know your token, or it is for another audience (tables.audiences)"
        yield Check(name, Grade.WARN, text, _MEND_TOKEN)
    elif seen.status == HTTPStatus.FORBIDDEN or seen.allowed is False:
        mend = (
            "kubectl create clusterrole pve-evpn-tables-reader --verb=get "
            "--resource=proxmoxclusters.pve-evpn.dev/tables; kubectl create clusterrolebinding pve-evpn-tables-reader "
            "--clusterrole=pve-evpn-tables-reader --user=NAME"
        )
        yield Check(name, Grade.WARN, f"you may not get proxmoxclusters/tables of {cluster}", mend)
    elif seen.allowed:
        yield Check(name, Grade.OK, f"you may get proxmoxclusters/tables of {cluster}")
    else:
        yield Check(name, Grade.UNKNOWN, "the API server did not say what you may do")
