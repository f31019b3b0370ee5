"""The one question every writer asks before it writes: do we still lead?

The answer is given by the Leases, for each cluster by itself (``kube.sharing``); who asks is whatever sends something
that must come from one replica only: requests that change Proxmox, the journal, statuses.
"""

from __future__ import annotations

from collections.abc import Callable

#: Cheap enough to ask before every request, from any thread.
IsLeader = Callable[[], bool]


class NotLeader(Exception):
    """The write was not sent: another replica leads by now, or may. The caller does not retry it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was not sent: this replica no longer holds the Lease")
