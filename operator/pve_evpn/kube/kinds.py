"""Whether the API server serves the operator's kinds: their CRDs may be installed late, or deleted while it runs."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.kube.client import CustomObjects

log = logging.getLogger(__name__)

#: Seconds between two questions while a CRD is missing.
RETRY_SECONDS = 5.0


class ServedKinds:
    """The kinds by what the API server said last. ``missing`` names the CRDs it does not serve."""

    def __init__(self, objects: CustomObjects) -> None:
        self._objects = objects
        self.missing: tuple[str, ...] = ()

    async def wait(self) -> None:
        """Return once every kind is served."""
        while not await self.are_served():
            await asyncio.sleep(RETRY_SECONDS)

    async def are_served(self) -> bool:
        """Ask whether every kind is served. Without an answer, what was known last counts."""
        before = self.missing
        try:
            self.missing = tuple(await self._objects.missing_crds())
        except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("the API server does not say which kinds it serves: %s", error)
            return not before
        if self.missing and self.missing != before:
            log.error("%s; install them with: kubectl apply --server-side -f crds/", self.in_words)
        elif before and not self.missing:
            log.info("every CRD is served again")
        return not self.missing

    @property
    def in_words(self) -> str:
        """What is missing, for people."""
        return f"the API server does not serve the CRDs {', '.join(self.missing)}"
