"""Why an object is not Ready, followed to the object where the cause is, so that each cause is shown once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.cli.report.snapshot import Reference, Snapshot, references
from pve_evpn.domain.objects import ObjectKey, Resource

#: What concerns the ProxmoxCluster as a whole, on whichever object it is reported.
OF_THE_CLUSTER = frozenset(
    {
        Reason.CLUSTER_UNREACHABLE, Reason.TLS_REJECTED, Reason.CREDENTIALS_MISSING, Reason.AUTHENTICATION_FAILED,
        Reason.PRIVILEGES_MISSING, Reason.NO_QUORUM, Reason.DUPLICATE_CLUSTER, Reason.SDN_LOCKED,
        Reason.FOREIGN_PENDING_CHANGES, Reason.NODE_NETWORK_PENDING, Reason.AWAITING_APPROVAL, Reason.OUTSIDE_WINDOW,
        Reason.APPLIES_SPACED, Reason.PENDING_APPLY, Reason.OUTCOME_UNKNOWN, Reason.CLUSTER_PAUSED,
    }
)  # fmt: skip
#: What follows where BGP sessions of the controller are down: routes do not reach the other nodes.
OF_THE_SESSIONS = frozenset(
    {
        Reason.SESSION_DOWN, Reason.NODE_MISSING_FROM_PEERS, Reason.VTEP_MISSING, Reason.NO_REMOTE_VTEPS,
    }
)  # fmt: skip
_SESSION_CAUSES = frozenset({Reason.SESSION_DOWN, Reason.NODE_MISSING_FROM_PEERS})
#: Nothing is seen, which proves nothing.
UNSEEN = frozenset({Reason.SOURCE_UNAVAILABLE, Reason.OBSERVATION_STALE, Reason.NOTHING_TO_ANNOUNCE})
_OPERATOR_MISSING = "no operator has handled it yet"


@dataclass(frozen=True, slots=True)
class Cause:
    """The object where the cause is, which need not exist, and what is wrong there.

    ``needs_you``: waiting does not help. ``unknown``: nothing can be seen, which proves nothing.
    """

    key: ObjectKey
    reason: str
    message: str
    needs_you: bool = False
    unknown: bool = False


Causes = Mapping[ObjectKey, Cause | None]


def state_of(resource: Resource[Any]) -> tuple[str, str, str]:
    """Status, reason and message of ``Ready``; Unknown, Pending where the operator has not written it."""
    ready = resource.status.condition(ConditionType.READY)
    if ready is None or (ready.reason == Reason.PENDING and ready.observed_generation is None):
        return "Unknown", Reason.PENDING, _OPERATOR_MISSING
    if ready.observed_generation not in (None, resource.generation):
        return "Unknown", Reason.PENDING, "the operator has not handled the latest change of the spec yet"
    return ready.status, ready.reason, ready.message


def is_good(resource: Resource[Any]) -> bool:
    """Ready, for its present spec, and not being deleted."""
    return state_of(resource)[0] == "True" and not resource.deleting


def cause_of(snapshot: Snapshot, key: ObjectKey) -> Cause | None:
    """Where the object's trouble begins; None where it is Ready. ``key`` must exist."""
    resource = snapshot.objects[key]
    if is_good(resource):
        return None
    _, reason, message = state_of(resource)
    if missing := missing_reference(snapshot, resource):
        return Cause(missing.target, Reason.REF_NOT_FOUND, f"{missing.target} does not exist", needs_you=True)
    if reason == Reason.PENDING_APPLY and (pause := _pause(snapshot, resource, message)):
        return pause
    if reason in OF_THE_CLUSTER or reason == Reason.SOURCE_UNAVAILABLE or _never_handled(snapshot, resource):
        return _at_cluster(snapshot, resource)
    if reason in OF_THE_SESSIONS and (controller := _broken_controller(snapshot, key)):
        _, reason, message = state_of(controller)
        return Cause(controller.key, reason, message)
    if reason == Reason.WAITING_FOR_DEPENDENCIES:
        for reference in references(resource):
            needed = snapshot.objects.get(reference.target)
            if needed and not is_good(needed):
                return cause_of(snapshot, reference.target)
    return Cause(key, reason, message, _stalled(resource), reason in UNSEEN)


def causes_in(snapshot: Snapshot) -> Causes:
    """The cause of each object; None for those that are Ready."""
    return {key: cause_of(snapshot, key) for key in snapshot.objects}


def group(known: Causes) -> list[tuple[Cause, list[ObjectKey]]]:
    """Each cause once, with the other objects it holds up; those that need a person first, the unknown last."""
    causes: dict[tuple[ObjectKey, str], Cause] = {}
    affected: dict[tuple[ObjectKey, str], list[ObjectKey]] = {}
    for key, cause in known.items():
        if cause is None:
            continue
        place = (cause.key, cause.reason)
        causes.setdefault(place, cause)
        affected.setdefault(place, [])
        if key != cause.key:
            affected[place].append(key)
    places = sorted(causes, key=lambda place: (causes[place].unknown, not causes[place].needs_you, place))
    return [(causes[place], affected[place]) for place in places]


def missing_reference(snapshot: Snapshot, resource: Resource[Any]) -> Reference | None:
    """The first object that the spec names and that does not exist. Kinds that may not be read are not judged."""
    for reference in references(resource):
        if reference.target not in snapshot.objects and reference.target.kind not in snapshot.unread:
            return reference
    return None


def _pause(snapshot: Snapshot, resource: Resource[Any], message: str) -> Cause | None:
    """A change of a paused object is `PendingApply` too, and waiting does not help it."""
    if resource.paused:
        return Cause(resource.key, Reason.ANNOTATION_PAUSED, message, needs_you=True)
    cluster = snapshot.cluster_of(resource.key)
    if cluster and cluster.paused:
        return Cause(cluster.key, Reason.CLUSTER_PAUSED, "the cluster is paused, and changes wait", needs_you=True)
    return None


def _at_cluster(snapshot: Snapshot, resource: Resource[Any]) -> Cause:
    _, reason, message = state_of(resource)
    cluster = snapshot.cluster_of(resource.key) or resource
    status, cluster_reason, cluster_message = state_of(cluster)
    if status != "True" and (cluster_reason == reason or reason == Reason.CLUSTER_UNREACHABLE):
        reason, message = cluster_reason, cluster_message
    return Cause(cluster.key, reason, message, _stalled(resource) or _stalled(cluster), reason in UNSEEN)


def _never_handled(snapshot: Snapshot, resource: Resource[Any]) -> bool:
    """Whether neither the object nor its cluster has been handled, as where no operator runs."""
    cluster = snapshot.cluster_of(resource.key)
    return cluster is not None and state_of(resource)[1] == state_of(cluster)[1] == Reason.PENDING


def _broken_controller(snapshot: Snapshot, key: ObjectKey) -> Resource[Any] | None:
    if key.kind == "EvpnNode":
        cluster = snapshot.cluster_of(key)
        controllers = [
            controller
            for controller in snapshot.of_kind("EvpnController")
            if cluster and snapshot.cluster_of(controller.key) is cluster
        ]
    else:
        controller = snapshot.controller_of(key)
        controllers = [controller] if controller else []
    return next((each for each in controllers if state_of(each)[1] in _SESSION_CAUSES), None)


def _stalled(resource: Resource[Any]) -> bool:
    return bool(resource.status.says(ConditionType.STALLED) == "True")
