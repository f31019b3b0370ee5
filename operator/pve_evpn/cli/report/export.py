"""What `pve-evpn export` says beside its manifests. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pve_evpn.api.kinds import ANNOTATION_ENDPOINTS, LABEL_CLUSTER
from pve_evpn.cli.report.model import Block, Cell, Lines, Report, Table, columns
from pve_evpn.domain.export import Export, Request
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.domain.state import ClusterState

_OBJECTS = columns(("kind", "KIND"), ("namespace", "NAMESPACE"), ("name", "NAME"), ("proxmox", "IN PROXMOX"))


def export_report(found: Export) -> Report:
    """The exported objects and what they leave out; good if they say every EVPN network whole."""
    rows = tuple(
        (Cell(manifest.key.kind), Cell(manifest.key.namespace), Cell(manifest.key.name), Cell(_source(manifest.source)))
        for manifest in found.manifests
    )
    blocks: list[Block] = [Table("objects", "OBJECTS", _OBJECTS, rows)]
    foreign = tuple(str(omission) for omission in found.omissions if omission.foreign)
    if found.unexpressed:
        blocks.append(Lines("notExported", "NOT EXPORTED", tuple(map(str, found.unexpressed))))
    if foreign:
        blocks.append(Lines("withoutKind", "WITHOUT A KIND", foreign))
    return Report(tuple(blocks), not found.unexpressed)


def _source(source: object) -> str:
    if isinstance(source, SdnRef):
        return source.id
    return f"{source[1]} of guest {source[0]}" if isinstance(source, tuple) else ""


def heading(request: Request, state: ClusterState, found: Export, *, created: bool) -> Iterator[str]:
    """The comment at the top of the manifests. ``created``: the ProxmoxCluster is among them."""
    name = f" {state.cluster_name!r}" if state.cluster_name else ""
    yield f"EVPN networks of the Proxmox cluster{name} (Proxmox VE {state.release}), exported by pve-evpn."
    yield "Applying this changes nothing in Proxmox (docs/import.md)."
    if created:
        secret = request.cluster_spec["credentialsSecretRef"]["name"]
        where = " ".join(request.cluster_spec["endpoints"])
        yield f"It needs the Secret {secret} in the operator's namespace, with the keys tokenId and token, the label"
        yield f"{LABEL_CLUSTER}={request.cluster} and the annotation {ANNOTATION_ENDPOINTS}={where!r}."
    yield "spec.adoption of the zones lets the VNets take over what exists: remove it when all of them are Ready."
    if found.unexpressed:
        yield ""
        yield "Not said here, because the API has no words for it; it stays in Proxmox as it is:"
        yield from (f"  {omission}" for omission in found.unexpressed)
    if foreign := [omission for omission in found.omissions if omission.foreign]:
        yield ""
        yield "This API has no kind for it; the operator never touches it:"
        yield from (f"  {omission}" for omission in foreign)
