"""Reasons of the Kubernetes Events the operator records, and which of them are warnings."""

from __future__ import annotations

from enum import StrEnum


class EventReason(StrEnum):
    """Why an Event was recorded. Reasons are part of the API: people filter and alert by them."""

    # A transaction of a ProxmoxCluster.
    APPLIED = "Applied"
    PARTIALLY_APPLIED = "PartiallyApplied"
    CORRECTED = "Corrected"
    STAGING_FAILED = "StagingFailed"
    APPLY_FAILED = "ApplyFailed"
    REVERTED = "Reverted"
    WRONG_APPROVAL = "WrongApproval"
    SDN_LOCK_TAKEN = "SdnLockTaken"
    NODE_CAUGHT_UP = "NodeCaughtUp"

    # Any object: what became of it in Proxmox.
    CREATED = "Created"
    DELETED = "Deleted"
    ADOPTED = "Adopted"
    RELEASED = "Released"
    STALLED = "Stalled"
    DRIFTED = "Drifted"
    DRIFT_FIGHT = "DriftFight"
    ORPHANED = "Orphaned"

    # Any object: its spec was changed and is applied, or written to its guest.
    UPDATED = "Updated"

    # A NicAttachment, and for HEALED a VNet.
    ATTACHED = "Attached"
    MOVED = "Moved"
    DETACHED = "Detached"
    PINNED = "Pinned"
    UNPINNED = "Unpinned"
    REGISTERED = "Registered"
    UNREGISTERED = "Unregistered"
    HEALED = "Healed"

    # What the nodes' FRR shows.
    SESSION_UP = "SessionUp"
    SESSION_DOWN = "SessionDown"
    NODE_AMONG_PEERS = "NodeAmongPeers"
    NODE_MISSING_FROM_PEERS = "NodeMissingFromPeers"
    VTEPS_COMPLETE = "VtepsComplete"
    VTEP_MISSING = "VtepMissing"
    MTU_FITS = "MtuFits"
    MTU_TOO_BIG = "MtuTooBig"
    OBSERVATION_RESUMED = "ObservationResumed"
    OBSERVATION_STALE = "ObservationStale"
    MAC_ADVERTISED = "MacAdvertised"
    MAC_MOVED = "MacMoved"
    MAC_WITHDRAWN = "MacWithdrawn"
    MAC_ON_WRONG_NODE = "MacOnWrongNode"
    MAC_DUPLICATE = "MacDuplicate"
    MAC_ZOMBIE = "MacZombie"

    @property
    def type(self) -> str:
        """``Warning`` or ``Normal``."""
        return "Warning" if self in _WARNINGS else "Normal"


_WARNINGS = frozenset(
    {
        EventReason.PARTIALLY_APPLIED,
        EventReason.STAGING_FAILED,
        EventReason.APPLY_FAILED,
        EventReason.REVERTED,
        EventReason.WRONG_APPROVAL,
        EventReason.SDN_LOCK_TAKEN,
        EventReason.STALLED,
        EventReason.DRIFTED,
        EventReason.DRIFT_FIGHT,
        EventReason.ORPHANED,
        EventReason.SESSION_DOWN,
        EventReason.NODE_MISSING_FROM_PEERS,
        EventReason.VTEP_MISSING,
        EventReason.MTU_TOO_BIG,
        EventReason.OBSERVATION_STALE,
        EventReason.MAC_WITHDRAWN,
        EventReason.MAC_ON_WRONG_NODE,
        EventReason.MAC_DUPLICATE,
        EventReason.MAC_ZOMBIE,
    }
)
