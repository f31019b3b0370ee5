"""Settings of the process, from flags and the environment; everything about networks is in the objects instead.

One table names them all: the command line, its help and the container's environment cannot disagree.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: The renewal of a Lease comes up to this much later than the retry period says.
JITTER = 1.2
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. ``duration``: how long others wait for a silent holder. ``renew_deadline``: when the holder itself
    gives up. ``retry``: between attempts. The defaults are client-go's."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if self.duration < 1:
            raise ValueError(f"the Lease's duration must be at least 1 s, not {self.duration:g} s")
        if not self.duration > self.renew_deadline > self.retry * JITTER > 0:
            raise ValueError(
                "the Lease's duration must be longer than the renew deadline, and that longer than "
                f"{JITTER:g} times the retry period (here {self.duration:g}, {self.renew_deadline:g} and "
                f"{self.retry:g} s)"
            )


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: ``--flag``, else the variable, else the default."""

    flag: str
    variable: str
    default: str
    help: str


OPTIONS = (
    Option("--namespace", "PVE_EVPN_NAMESPACE", "", "where Secrets and the Lease are (default: the pod's own, else "
           "pve-evpn-system)"),
    Option("--http", "PVE_EVPN_HTTP", ":8080", "address of metrics and probes, IPv6 as [::1]:8080; without an "
           "address, all of both families"),
    Option("--log-level", "PVE_EVPN_LOG", "INFO", "DEBUG, INFO, WARNING or ERROR"),
    Option("--lease-name", "PVE_EVPN_LEASE_NAME", "pve-evpn-operator", "the Lease that makes one replica the leader"),
    Option("--lease-duration", "PVE_EVPN_LEASE_DURATION", "15", "seconds after which a silent leader is replaced"),
    Option("--lease-renew-deadline", "PVE_EVPN_LEASE_RENEW_DEADLINE", "10", "seconds without a renewal after which "
           "the leader stops by itself"),
    Option("--lease-retry-period", "PVE_EVPN_LEASE_RETRY_PERIOD", "2", "seconds between attempts to take or renew"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``run`` is started with."""

    namespace: str
    http_host: str
    http_port: int
    log_level: str
    instance: str
    lease_name: str
    lease_timing: Timing

    @classmethod
    def load(cls, flags: argparse.Namespace | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError naming the setting that makes no sense."""
        values = {option.flag: _value(option, flags, environment) for option in OPTIONS}
        host, colon, port = values["--http"].rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"--http (PVE_EVPN_HTTP) must be address:port or :port, not {values['--http']!r}")
        level = values["--log-level"].upper()
        if level not in _LEVELS:
            raise ValueError(f"--log-level (PVE_EVPN_LOG) must be one of {', '.join(_LEVELS)}, not {level!r}")
        duration, deadline, retry = (
            _seconds(name, values[name])
            for name in ("--lease-duration", "--lease-renew-deadline", "--lease-retry-period")
        )
        return cls(
            namespace=values["--namespace"] or own_namespace(),
            http_host=host.removeprefix("[").removesuffix("]"),
            http_port=int(port),
            log_level=level,
            instance=environment.get("POD_NAME") or socket.gethostname(),
            lease_name=values["--lease-name"],
            lease_timing=Timing(duration, deadline, retry),
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Every setting as a flag."""
    for option in OPTIONS:
        default = f"; default {option.default}" if option.default else ""
        parser.add_argument(option.flag, metavar="VALUE", help=f"{option.help} (${option.variable}{default})")


def own_namespace() -> str:
    """The namespace the pod runs in; the usual one outside of Kubernetes."""
    return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "pve-evpn-system"


def _value(option: Option, flags: argparse.Namespace | None, environment: Mapping[str, str]) -> str:
    flag = getattr(flags, option.flag.lstrip("-").replace("-", "_"), None)
    return str(flag or environment.get(option.variable) or option.default)


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number of seconds, not {text!r}") from None
