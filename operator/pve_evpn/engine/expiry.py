"""When a cluster's credentials end: asked rarely, remembered, and unknown where Proxmox does not tell."""

from __future__ import annotations

import time
from datetime import datetime

from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

_EVERY = 3600.0


class Expiry:
    """Of one cluster. Changed credentials bring a new gateway, which is asked at once."""

    def __init__(self) -> None:
        self._of: Gateway | None = None
        self._asked = 0.0
        self._end: datetime | None = None

    async def of(self, gateway: Gateway) -> datetime | None:
        """None for never or unknown. What keeps the answer away must not keep anything else from its work."""
        if gateway is not self._of or time.monotonic() - self._asked > _EVERY:
            try:
                self._end = await gateway.credentials_end()
            except errors.PveError:
                self._end = None
            self._of, self._asked = gateway, time.monotonic()
        return self._end
