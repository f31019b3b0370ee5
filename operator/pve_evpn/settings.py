"""Settings of the process, from flags and the environment; everything about networks is in the objects instead.

One model names them all: the command line, its help and the container's environment cannot disagree.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: The renewal of a Lease comes up to this much later than the retry period says.
JITTER = 1.2


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


def own_namespace() -> str:
    """The namespace the pod runs in; the usual one outside of Kubernetes."""
    return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "pve-evpn-system"


class Settings(BaseSettings):
    """What ``pve-evpn run`` is started with. Each field is a flag ``--field-name``, else a variable, else its default.

    Raises pydantic's ValidationError for values that make no sense; :func:`load` turns it into one line.
    """

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", frozen=True, env_ignore_empty=True)

    namespace: str = Field(
        default_factory=own_namespace,
        validation_alias="PVE_EVPN_NAMESPACE",
        description="where Secrets and the Lease are (default: the pod's own, else pve-evpn-system)",
    )
    http: str = Field(
        ":8080",
        validation_alias="PVE_EVPN_HTTP",
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s]*):[0-9]{1,5}$",
        description="address of metrics and probes, IPv6 as [::1]:8080; without an address, all of both families",
    )
    tables: str = Field(
        "",
        validation_alias="PVE_EVPN_TABLES",
        pattern=r"^(|(\[[0-9a-fA-F:.]+\]|[^:\s]*):[0-9]{1,5})$",
        description="address of the HTTPS endpoint for full tables, as of --http; empty: there is none",
    )
    tables_tls: str = Field(
        "",
        validation_alias="PVE_EVPN_TABLES_TLS",
        description="folder with the endpoint's tls.crt and tls.key; empty: it makes a certificate of its own",
    )
    tables_audiences: str = Field(
        "",
        validation_alias="PVE_EVPN_TABLES_AUDIENCES",
        description="whom the callers' tokens must be for, comma-separated; empty: the API server",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        "INFO", validation_alias="PVE_EVPN_LOG", description="DEBUG, INFO, WARNING or ERROR"
    )
    log_format: Literal["text", "json"] = Field(
        "text", validation_alias="PVE_EVPN_LOG_FORMAT", description="text for people, json for machines"
    )
    lease_name: str = Field(
        "pve-evpn-operator",
        validation_alias="PVE_EVPN_LEASE_NAME",
        max_length=63,  # it is a label of the others
        description="the Lease that the replicas share; the others are named after it",
    )
    lease_duration: float = Field(
        15.0,
        validation_alias="PVE_EVPN_LEASE_DURATION",
        description="seconds after which a silent replica's clusters move to others",
    )
    lease_renew_deadline: float = Field(
        10.0,
        validation_alias="PVE_EVPN_LEASE_RENEW_DEADLINE",
        description="seconds without a renewal after which a replica stops by itself",
    )
    lease_retry_period: float = Field(
        2.0,
        validation_alias="PVE_EVPN_LEASE_RETRY_PERIOD",
        description="seconds between attempts to take or renew",
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        validation_alias="POD_NAME",
        description="how this replica is named in the Lease and in Events",
    )

    @model_validator(mode="after")
    def _lease_can_be_kept(self) -> Settings:
        _ = self.lease_timing
        return self

    @property
    def lease_timing(self) -> Timing:
        return Timing(self.lease_duration, self.lease_renew_deadline, self.lease_retry_period)

    @property
    def http_host(self) -> str:
        """The address without an IPv6 address's brackets; "" for all addresses of both families."""
        return _host_and_port(self.http)[0]

    @property
    def http_port(self) -> int:
        return _host_and_port(self.http)[1]

    @property
    def tables_address(self) -> tuple[str, int] | None:
        """Host, as of :attr:`http_host`, and port; None where full tables are not served."""
        return _host_and_port(self.tables) if self.tables else None


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Option:
    """A setting on the command line. ``name``: of the model's field."""

    name: str
    flag: str
    help: str


def options() -> list[Option]:
    """Every setting as a flag."""
    found = []
    for name, field in Settings.model_fields.items():
        default = f"; default {field.default:g}" if isinstance(field.default, float) else ""
        default = f"; default {field.default}" if isinstance(field.default, str) else default
        found.append(Option(name, _flag(name), f"{field.description} (${_variable(name)}{default})"))
    return found


def load(flags: Mapping[str, str | None] | None = None) -> Settings:
    """The settings of this process. Raises ValueError that names the flag or variable that makes no sense.

    Args:
        flags: Values of the command line by the field's name; None for one that was not given.
    """
    given: dict[str, Any] = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ValueError("; ".join(map(_in_words, error.errors(include_url=False)))) from None


def _in_words(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    by_variable = {_variable(name): name for name in Settings.model_fields}
    name = by_variable.get(str(error["loc"][0]), str(error["loc"][0]))
    wanted = Settings.model_fields[name].description
    return f"{_flag(name)} ({_variable(name)}): {error['input']!r} does not fit; it is {wanted}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return str(Settings.model_fields[name].validation_alias)
