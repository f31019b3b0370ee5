"""Condition types and reasons. A reason is API: programs match on it, so it is never renamed.

Above each group stands the condition it belongs to and the status it explains.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from pve_evpn.api.base import ApiModel


class ConditionType(StrEnum):
    """The same words mean the same on every kind."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    PROGRAMMED = "Programmed"
    OPERATIONAL = "Operational"
    DRIFTED = "Drifted"
    PAUSED = "Paused"
    # kstatus; present only while true
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    # ProxmoxCluster only
    REACHABLE = "Reachable"
    AUTHENTICATED = "Authenticated"
    VERSION_SUPPORTED = "VersionSupported"
    QUORATE = "Quorate"
    INSECURE = "InsecureConnection"


class Reason(StrEnum):
    """Why a condition is what it is."""

    # any: Unknown
    PENDING = "Pending"
    # Ready: True. When not, Ready carries the reason of the condition at fault.
    READY = "Ready"

    # Accepted: True
    ACCEPTED = "Accepted"
    # Accepted: False, the user has to act
    INVALID_SPEC = "InvalidSpec"
    ID_CONFLICT = "IdConflict"
    VNI_CONFLICT = "VniConflict"
    SUBNET_OVERLAP = "SubnetOverlap"
    CONTROLLER_CONFLICT = "ControllerConflict"
    NIC_CONFLICT = "NicConflict"
    FOREIGN_OBJECT = "ForeignObject"
    VERSION_UNSUPPORTED = "VersionUnsupported"
    MTU_TOO_BIG = "MtuTooBig"
    # Accepted: False, heals when what it names appears. An object one may not use is reported as not there.
    REF_NOT_FOUND = "RefNotFound"

    # Programmed: True
    PROGRAMMED = "Programmed"
    # Programmed: False
    WAITING_FOR_DEPENDENCIES = "WaitingForDependencies"
    PENDING_APPLY = "PendingApply"
    SDN_LOCKED = "SdnLocked"
    FOREIGN_PENDING_CHANGES = "ForeignPendingChanges"
    NODE_NETWORK_PENDING = "NodeNetworkPending"
    AWAITING_APPROVAL = "AwaitingApproval"
    OUTSIDE_WINDOW = "OutsideWindow"
    STAGING_FAILED = "StagingFailed"
    APPLY_FAILED = "ApplyFailed"
    PARTIALLY_APPLIED = "PartiallyApplied"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    DELETION_BLOCKED = "DeletionBlocked"
    GUEST_LOCKED = "GuestLocked"
    RESTART_REQUIRED = "RestartRequired"
    # Programmed: False or Unknown, and Reachable/Authenticated/Quorate/VersionSupported: False
    CLUSTER_UNREACHABLE = "ClusterUnreachable"
    TLS_REJECTED = "TlsRejected"
    CREDENTIALS_MISSING = "CredentialsMissing"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    PRIVILEGES_MISSING = "PrivilegesMissing"
    NO_QUORUM = "NoQuorum"
    # Reachable/Authenticated/VersionSupported/Quorate: True
    REACHABLE = "Reachable"
    AUTHENTICATED = "Authenticated"
    VERSION_SUPPORTED = "VersionSupported"
    QUORATE = "Quorate"
    # InsecureConnection: True
    CERTIFICATE_NOT_VERIFIED = "CertificateNotVerified"

    # Operational: True
    OPERATIONAL = "Operational"
    ADVERTISED = "Advertised"
    # Operational: False
    SESSION_DOWN = "SessionDown"
    NODE_MISSING_FROM_PEERS = "NodeMissingFromPeers"
    VTEP_MISSING = "VtepMissing"
    NO_REMOTE_VTEPS = "NoRemoteVteps"
    SILENT = "Silent"
    NEVER_SEEN = "NeverSeen"
    WRONG_NODE = "WrongNode"
    DUPLICATE = "Duplicate"
    ZOMBIE = "Zombie"
    # Operational: Unknown
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    OBSERVATION_STALE = "ObservationStale"

    # Drifted: True
    FIELDS_DIFFER = "FieldsDiffer"
    MISSING_EXTERNALLY = "MissingExternally"
    # Drifted: False
    IN_SYNC = "InSync"

    # Paused: True
    ANNOTATION_PAUSED = "AnnotationPaused"
    CLUSTER_PAUSED = "ClusterPaused"
    # Paused: False
    NOT_PAUSED = "NotPaused"


class Condition(ApiModel):
    """One condition, in Kubernetes' usual shape."""

    type: str = Field(max_length=64, description="What is judged.")
    status: Literal["True", "False", "Unknown"] = Field(description="The judgement; Unknown is not False.")
    reason: str = Field(max_length=128, description="Why, for programs. See the reference for all reasons.")
    message: str = Field("", max_length=1024, description="Why, for people.")
    observed_generation: int | None = Field(None, ge=0, description="metadata.generation this was judged for.")
    last_transition_time: str = Field(
        description="When status last changed.", json_schema_extra={"format": "date-time"}
    )
