"""What to do about each reason, and the page that says more. Tests hold every reason and every page to it."""

from __future__ import annotations

from dataclasses import dataclass

from pve_evpn.api.conditions import Reason

PAGES = "https://github.com/pve-evpn/pve-evpn-operator/blob/main/docs/"


@dataclass(frozen=True, slots=True)
class Remedy:
    """``text`` is an instruction; ``page`` a page under docs/."""

    text: str
    page: str


_CHANGE_ONE = "Change one of the two objects that the message names."
_WAIT = "Wait: the operator tries again by itself."

REMEDIES: dict[Reason, Remedy] = {
    Reason.PENDING: Remedy(
        "See whether an operator runs and leads: kubectl get pods,lease -n pve-evpn-system",
        "runbooks/PveEvpnNoLeader.md",
    ),
    Reason.DELETING: Remedy("Wait until its turn comes; what it holds up is deleted first.", "uninstall.md"),
    # --- Accepted
    Reason.INVALID_SPEC: Remedy("Correct the field that the message names.", "runbooks/PveEvpnObjectsStalled.md"),
    Reason.DUPLICATE_CLUSTER: Remedy("Delete one of the two ProxmoxClusters.", "troubleshooting.md"),
    Reason.ID_CONFLICT: Remedy(
        "The older object keeps the name. Make this one anew with another spec.id.", "runbooks/PveEvpnObjectsStalled.md"
    ),
    Reason.VNI_CONFLICT: Remedy(
        "Choose another VNI, or leave spec.vni out where the zone has a vniRange; widen the range where it is used up.",
        "runbooks/PveEvpnObjectsStalled.md",
    ),
    Reason.SUBNET_OVERLAP: Remedy(_CHANGE_ONE, "runbooks/PveEvpnObjectsStalled.md"),
    Reason.CONTROLLER_CONFLICT: Remedy(_CHANGE_ONE, "runbooks/PveEvpnObjectsStalled.md"),
    Reason.FABRIC_CONFLICT: Remedy(_CHANGE_ONE, "fabrics.md"),
    Reason.ADDRESS_IN_USE: Remedy("Choose another address, or free the one that is there.", "ipam-dns.md"),
    Reason.NIC_CONFLICT: Remedy(_CHANGE_ONE, "nics.md"),
    Reason.MTU_TOO_BIG: Remedy(
        "Lower the MTU of the zone (the underlay's less 50 bytes), or raise the underlay's.", "troubleshooting.md"
    ),
    Reason.FOREIGN_OBJECT: Remedy(
        "Proxmox has that name already. Make the spec equal to it or set adoptionPolicy, and for a VNet "
        "spec.adoption.namespaces of its zone or of the ProxmoxCluster; or choose another id.",
        "import.md",
    ),
    Reason.VERSION_UNSUPPORTED: Remedy("Upgrade Proxmox VE, or leave the field out.", "api.md"),
    Reason.REF_NOT_FOUND: Remedy(
        "Create what the message names, or allow this object to use it: allowedNamespaces of the zone, guestAccess of "
        "the ProxmoxCluster.",
        "troubleshooting.md",
    ),
    Reason.REF_NOT_PERMITTED: Remedy(
        "Grant it again (allowedNamespaces of the zone, guestAccess of the ProxmoxCluster), or delete this object.",
        "nics.md",
    ),
    Reason.NOT_ALLOWED: Remedy(
        "Ask who runs the cluster to allow what the message names, or leave it out.", "troubleshooting.md"
    ),
    Reason.LIMIT_EXCEEDED: Remedy(
        "Delete objects that are no longer needed, or ask who runs the cluster for a higher limit.",
        "troubleshooting.md",
    ),
    # --- Programmed
    Reason.WAITING_FOR_DEPENDENCIES: Remedy("Look at the object that the message names.", "troubleshooting.md"),
    Reason.PENDING_APPLY: Remedy(_WAIT, "safety.md"),
    Reason.SDN_LOCKED: Remedy(
        "Find the client that holds Proxmox' SDN lock and let it finish; remove the lock only if none is at work: "
        "pve-evpn lock",
        "runbooks/PveEvpnSdnLockHeld.md",
    ),
    Reason.FOREIGN_PENDING_CHANGES: Remedy(
        "Have the other client's staged changes applied or reverted in Proxmox; or, if they may go live with yours, "
        "set spec.apply.foreignPending: Include.",
        "runbooks/PveEvpnForeignPending.md",
    ),
    Reason.NODE_NETWORK_PENDING: Remedy(
        "Apply or revert the host-network edits on the nodes named (Proxmox: node, System, Network).",
        "runbooks/PveEvpnForeignPending.md",
    ),
    Reason.AWAITING_APPROVAL: Remedy("Read the plan and approve it: pve-evpn approve", "runbooks/PveEvpnPlanWaits.md"),
    Reason.OUTSIDE_WINDOW: Remedy(
        "Wait for the maintenance window, or approve the plan now: pve-evpn approve", "runbooks/PveEvpnPlanWaits.md"
    ),
    Reason.APPLIES_SPACED: Remedy("Wait until the time in the message; change several objects at once.", "safety.md"),
    Reason.STAGING_FAILED: Remedy(
        "Correct what Proxmox' message names; then pve-evpn reconcile.", "runbooks/PveEvpnApplyFailed.md"
    ),
    Reason.APPLY_FAILED: Remedy("Correct what Proxmox' message names.", "runbooks/PveEvpnApplyFailed.md"),
    Reason.PARTIALLY_APPLIED: Remedy(
        "Look at the nodes named: the task log of their reload says why.", "runbooks/PveEvpnNodeNotProgrammed.md"
    ),
    Reason.REVERTED: Remedy("Find out what the apply broke before you change the spec again.", "safety.md"),
    Reason.OUTCOME_UNKNOWN: Remedy(_WAIT, "runbooks/PveEvpnApplyFailed.md"),
    Reason.DELETION_BLOCKED: Remedy("Remove what the message names.", "uninstall.md"),
    Reason.GUEST_LOCKED: Remedy("Wait until the backup, migration or snapshot of the guest has ended.", "nics.md"),
    Reason.NODE_NOT_IN_ZONE: Remedy("Add the node to the zone's nodes, or move the guest.", "nics.md"),
    Reason.RESTART_REQUIRED: Remedy("Stop and start the guest; a reboot from inside is not enough.", "nics.md"),
    # --- the connection
    Reason.CLUSTER_UNREACHABLE: Remedy(
        "Check the endpoints of the ProxmoxCluster, port 8006 and the network between.",
        "runbooks/PveEvpnClusterUnreachable.md",
    ),
    Reason.TLS_REJECTED: Remedy(
        "Set spec.tls of the ProxmoxCluster: the fingerprint the message shows if it is right, or the CA.",
        "runbooks/PveEvpnClusterUnreachable.md",
    ),
    Reason.CREDENTIALS_MISSING: Remedy(
        "Create the Secret that the message names, or bind it to the cluster as the message says.",
        "install.md",
    ),
    Reason.AUTHENTICATION_FAILED: Remedy(
        "Correct the token in the Secret: tokenId is user@realm!name, token is its secret part.", "proxmox-access.md"
    ),
    Reason.PRIVILEGES_MISSING: Remedy("Run the pveum commands that the message names.", "proxmox-access.md"),
    Reason.NO_QUORUM: Remedy(
        "Bring enough Proxmox nodes online; nothing can be written before.", "runbooks/PveEvpnClusterUnreachable.md"
    ),
    Reason.CERTIFICATE_NOT_VERIFIED: Remedy("Set a CA or a fingerprint in spec.tls.", "security-model.md"),
    # --- Operational
    Reason.SESSION_DOWN: Remedy(
        "Look at the peers (pve-evpn peers) and at FRR on the nodes named.", "runbooks/PveEvpnSessionDown.md"
    ),
    Reason.ADJACENCY_DOWN: Remedy(
        "Look at status.adjacencies (status.neighbours of an IsisController), cables, interfaces and FRR of the nodes.",
        "fabrics.md",
    ),
    Reason.NODE_MISSING_FROM_PEERS: Remedy(
        "Add the node's address to the controller's peers, or use clusterNodes.", "runbooks/PveEvpnNodeIsolated.md"
    ),
    Reason.VTEP_MISSING: Remedy(
        "Look at the sessions of the nodes named (pve-evpn peers), then at their VNIs (pve-evpn vni).",
        "runbooks/PveEvpnVtepMissing.md",
    ),
    Reason.NEXT_HOP_NOT_VTEP: Remedy(
        "Find the router that advertises the route (show bgp l2vpn evpn route type prefix, on the node named), and let "
        "it keep its own VTEP as next hop.",
        "observing.md",
    ),
    Reason.VNI_MISSING: Remedy(
        "Look at the VNIs of the node named (pve-evpn vni) and at its last reload.", "runbooks/PveEvpnVtepMissing.md"
    ),
    Reason.NO_REMOTE_VTEPS: Remedy(
        "Look at the sessions (pve-evpn peers); a zone on one node only has no other VTEP.",
        "runbooks/PveEvpnVtepMissing.md",
    ),
    Reason.SILENT: Remedy(
        "Have the guest send a frame (a ping is enough), or set silentHost: Pin on the NicAttachment.",
        "silent-hosts.md",
    ),
    Reason.NEVER_SEEN: Remedy(
        "Start the guest and have it send a frame; then check that the NIC is on the VNet's bridge.", "silent-hosts.md"
    ),
    Reason.WRONG_NODE: Remedy("Have the guest send a frame.", "runbooks/PveEvpnMacWrongNode.md"),
    Reason.DUPLICATE: Remedy("Find the second guest that uses this MAC.", "runbooks/PveEvpnMacDuplicate.md"),
    Reason.ZOMBIE: Remedy("Remove the stale entry on the node named.", "runbooks/PveEvpnMacZombie.md"),
    Reason.NOTHING_TO_ANNOUNCE: Remedy("Start the guest, or connect its link.", "nics.md"),
    Reason.SOURCE_UNAVAILABLE: Remedy(
        "Unknown does not mean down. To see BGP and the VNIs, give the operator ssh or frr_exporter.", "observing.md"
    ),
    Reason.OBSERVATION_STALE: Remedy(
        "See status.problems of the EvpnNode for why the source fails.", "runbooks/PveEvpnObservationStale.md"
    ),
    # --- Effective
    Reason.NO_EXIT_NODES: Remedy("Set exitNodes of the zone, or leave snat out.", "troubleshooting.md"),
    Reason.EXIT_IMPAIRED: Remedy(
        "Do what status.exit.problems of the EvpnZone says; exit-nodes.md explains each.", "exit-nodes.md"
    ),
    Reason.LOCAL_ROUTING_CONFLICT: Remedy(
        "Use another network than 10.255.255.0/30, or turn localRouting of the zone off.", "troubleshooting.md"
    ),
    Reason.ADDRESS_OUTSIDE_SUBNETS: Remedy(
        "Give the container an address of one of the VNet's subnets, or add that subnet.", "nics.md"
    ),
    Reason.NO_IPAM: Remedy("Set ipam or ipamRef of the zone, or leave the field out.", "ipam-dns.md"),
    Reason.UNKNOWN_ANNOTATION: Remedy("Correct the name of the annotation, or remove it.", "api.md"),
    # --- Drifted and Paused
    Reason.FIELDS_DIFFER: Remedy(
        "Change the spec to the value you want; the operator writes it unless spec.drift is Report or the object is "
        "only observed.",
        "troubleshooting.md",
    ),
    Reason.MISSING_EXTERNALLY: Remedy(
        "The operator makes it again, unless it only observes. Delete this object if the network shall go.",
        "troubleshooting.md",
    ),
    Reason.DRIFT_FIGHT: Remedy(
        "Stop the other client from writing this value, or write its value into the spec.",
        "runbooks/PveEvpnDriftFight.md",
    ),
    Reason.ANNOTATION_PAUSED: Remedy("Resume it: pve-evpn resume KIND/NAME", "troubleshooting.md"),
    Reason.CLUSTER_PAUSED: Remedy("Resume the cluster: pve-evpn resume pvec/NAME", "troubleshooting.md"),
}


_BY_NAME: dict[str, Remedy] = {str(reason): remedy for reason, remedy in REMEDIES.items()}


def remedy_for(reason: str) -> Remedy:
    """The remedy of a reason; that of any object that is not Ready where there is none of its own."""
    return _BY_NAME.get(reason) or Remedy("Read the message.", "runbooks/PveEvpnObjectsNotReady.md")
