"""Makes the chain of sources from a ProxmoxCluster's ``spec.observe`` and its Secrets, and keeps it until they change.

A changed specification or Secret gives a new chain with the next poll, and the old one's connections are closed. A
source that cannot be set up answers for every node why, so that the next source is asked and the user reads the reason.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from pve_evpn.api.observe import Observe
from pve_evpn.api.observe import SshSource as SshSpec
from pve_evpn.domain.observation import NodeObservation, SourceName
from pve_evpn.engine.secrets import ClusterSecrets, NotUsable
from pve_evpn.observe.fallback import Chain
from pve_evpn.observe.frr_exporter import FrrExporterSource
from pve_evpn.observe.pve_api import Access, ApiSource
from pve_evpn.observe.reach import Reach
from pve_evpn.observe.source import NodeTarget, NodeUnreadable, Source

if TYPE_CHECKING:
    from pve_evpn.observe.ssh import SshSource

log = logging.getLogger(__name__)

#: Seconds a poll waits for its slowest node; less where polls are closer together than that.
TIMEOUT = 5.0


class Sources:
    """The chain of one cluster. `access`: how Proxmox is reached at the moment, for source api."""

    def __init__(self, secrets: ClusterSecrets, access: Callable[[], Access | None]) -> None:
        self._secrets = secrets
        self._access = access
        self._chain: Chain | None = None
        self._made_from = ""
        self.ssh: SshSource | None = None
        """Source ssh, where it is one of the present chain's and could be set up."""

    async def chain(self, observe: Observe, interval: float, grace: timedelta, endpoints: Sequence[str] = ()) -> Chain:
        """The chain for this specification and the Secrets as they are now. ``endpoints``: of the ProxmoxCluster."""
        names: list[SourceName] = list(observe.sources or ["api"])
        ssh: _SshSecrets = ""
        if "ssh" in names and observe.ssh:
            try:
                ssh = await self._ssh_secrets(observe.ssh)
            except _Unusable as error:
                ssh = str(error)
            except Exception:
                if self._chain is None:
                    raise
                log.warning("the Secrets of source ssh cannot be read at present; the ones read before stay in use")
                return self._chain
        made_from = _fingerprint(observe, ssh, endpoints)
        if self._chain is None or made_from != self._made_from:
            await self.close()
            self.ssh = None
            reach = Reach(observe.allowed_networks, endpoints)
            sources = [self._source(name, observe, ssh, interval, reach) for name in names]
            self._chain = Chain(sources, grace, min(TIMEOUT, interval))
            self._made_from = made_from
        return self._chain

    async def close(self) -> None:
        chain, self._chain, self.ssh = self._chain, None, None
        if chain is not None:
            await chain.close()

    def _source(self, name: SourceName, observe: Observe, ssh: _SshSecrets, interval: float, reach: Reach) -> Source:
        if name == "api":
            return ApiSource(self._access, interval)
        if name == "frrExporter":
            exporter = observe.frr_exporter
            if exporter is None:
                return FrrExporterSource(reach=reach)
            return FrrExporterSource(scheme=exporter.scheme, port=exporter.port, path=exporter.path, reach=reach)
        if observe.ssh is None or isinstance(ssh, str):
            return _Broken("ssh", str(ssh) or "source ssh needs the section ssh")
        # Its library takes 25 MiB, which a cluster that is not observed so does without.
        from pve_evpn.observe.ssh import SshConfigError, SshSource

        key, known_hosts = ssh
        spec = observe.ssh
        try:
            self.ssh = SshSource(
                key, known_hosts, user=spec.user, port=spec.port, addresses=spec.addresses, reach=reach
            )
        except SshConfigError as error:
            return _Broken("ssh", str(error))
        return self.ssh

    async def _ssh_secrets(self, spec: SshSpec) -> tuple[str, str]:
        """The private key and the host keys. Raises _Unusable."""
        key = await self._value("ssh.keySecretRef", spec.key_secret_ref.name, spec.key_secret_ref.key)
        if spec.known_hosts is not None:
            return key, "\n".join(spec.known_hosts) + "\n"
        if (ref := spec.known_hosts_secret_ref) is None:
            raise _Unusable("host keys are always checked: set ssh.knownHosts or ssh.knownHostsSecretRef")
        return key, await self._value("ssh.knownHostsSecretRef", ref.name, ref.key)

    async def _value(self, where: str, name: str, key: str) -> str:
        try:
            return await self._secrets.value(name, key)
        except NotUsable as error:
            raise _Unusable(f"{where}: {error}") from None


class _Unusable(Exception):
    """Why source ssh cannot be set up."""


#: Private key and host keys, or why they cannot be had.
_SshSecrets = tuple[str, str] | str


class _Broken:
    """A source that cannot be set up."""

    def __init__(self, name: SourceName, why: str) -> None:
        self.name: SourceName = name
        self._why = why

    async def read(self, node: NodeTarget) -> NodeObservation:
        raise NodeUnreadable("NotConfigured", self._why)

    async def close(self) -> None:
        pass


def _fingerprint(observe: Observe, ssh: _SshSecrets, endpoints: Sequence[str]) -> str:
    """A digest to compare with; the key itself is not kept for it."""
    text = json.dumps([observe.model_dump(mode="json"), ssh, *endpoints])
    return hashlib.sha256(text.encode()).hexdigest()
