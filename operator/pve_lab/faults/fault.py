"""What every fault is: a name, parameters, a beginning and an end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pve_lab.cluster import Cluster


@dataclass(kw_only=True)
class Fault:
    """In effect from :meth:`begin` to :meth:`end`. ``name`` is that of the command line and the admin port."""

    name: ClassVar[str] = ""
    id: int = field(default=0, init=False)

    def begin(self, cluster: Cluster) -> None:
        """Bring it about. Raises ValueError, which names a parameter, if that is impossible."""

    def end(self, cluster: Cluster) -> None:
        """Take its effect back as far as possible."""

    def shown(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.name.startswith("_")}
        return {"fault": self.name, **values}


@dataclass(kw_only=True)
class NodeFault(Fault):
    """A fault of one node."""

    node: str

    def begin(self, cluster: Cluster) -> None:
        if self.node not in cluster.nodes:
            raise ValueError(f"node: there is no {self.node!r}; there are {', '.join(cluster.nodes)}")


@dataclass(kw_only=True)
class GuestFault(Fault):
    """A fault of one guest."""

    vmid: int

    def begin(self, cluster: Cluster) -> None:
        if self.vmid not in cluster.guests:
            raise ValueError(f"vmid: there is no guest {self.vmid}")
