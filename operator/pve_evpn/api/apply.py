"""When and how changes of a ProxmoxCluster go live: policy, windows, approval."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.rules import ATOMIC, SET, Matching, Rule, rules
from pve_evpn.api.types import ApiModel


def _cron_field(number: str, names: str = "") -> str:
    """One field of a cron expression: ``*``, numbers, ranges and lists of them, each with a step."""
    value = f"({number}|{names})" if names else f"({number})"
    item = rf"(\*|{value}(-{value})?)(/[0-9]{{1,3}})?"
    return f"{item}(,{item})*"


_CRON = r"\s+".join(
    (
        _cron_field("[0-5]?[0-9]"),
        _cron_field("[01]?[0-9]|2[0-3]"),
        _cron_field("0?[1-9]|[12][0-9]|3[01]"),
        _cron_field("0?[1-9]|1[0-2]", "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"),
        _cron_field("[0-7]", "(?i:sun|mon|tue|wed|thu|fri|sat)"),
    )
)


Schedule = Annotated[
    str,
    Length(min_length=9, max_length=100),
    Matching(_CRON, "must be five cron fields (minute hour day month weekday), e.g. '0 22 * * mon-fri'"),
]


TimeZone = Annotated[
    str,
    Length(min_length=1, max_length=64),
    Matching(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", "must be an IANA time zone such as Europe/Vienna"),
    # For a zone that it does not know, the API server cannot evaluate this, and refuses the object.
    Rule(
        "timestamp('2026-01-01T00:00:00Z').getFullYear(self) > 0",
        "must be the name of a time zone in the IANA database, such as Europe/Vienna",
    ),
]


class Window(ApiModel):
    """A recurring time in which applies are allowed."""

    schedule: Schedule = Field(description="When the window opens: five cron fields (minute hour day month weekday).")
    time_zone: TimeZone = Field("Etc/UTC", description="IANA time zone of schedule. Default: Etc/UTC.")
    duration_minutes: Annotated[int, Field(ge=1, le=10080)] = Field(
        description="How long it stays open, in minutes, 1 to 10080 (a week)."
    )


StepClass = Literal["none", "reload", "disruptive", "destructive"]


class ApplyPolicy(ApiModel):
    """When and how staged changes go live."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!(has(self.policy) && self.policy == 'Window') || (has(self.windows) && self.windows.size() > 0)",
                "policy: Window needs at least one entry in windows",
            ),
            # Somebody who writes windows expects them to be kept; without the policy they would be ignored.
            Rule(
                "!has(self.windows) || self.windows.size() == 0 || (has(self.policy) && self.policy == 'Window')",
                "windows are used with policy: Window only; set it, or remove them",
            ),
        )
    )

    policy: Literal["Automatic", "Manual", "Window"] | None = Field(
        None,
        description="Automatic applies at once; Manual waits until the annotation pve-evpn.dev/approved-plan equals "
        "status.pendingPlan.hash; Window waits for one of windows. Default: Automatic.",
    )
    windows: list[Window] | None = Field(
        None, max_length=16, description="For policy Window: when it is open.", json_schema_extra=ATOMIC
    )
    destructive: Literal["Automatic", "Manual"] | None = Field(
        None,
        description="Manual: deletions wait for approval, whatever the policy; the same as destructive in approval. "
        "Default: Automatic.",
    )
    approval: list[StepClass] | None = Field(
        None,
        max_length=4,
        description="The classes of steps that wait for approval, whatever the policy: none, reload, disruptive (ASN, "
        "underlay, VNIs, controllers, MTU, nodes taken away: sessions or traffic stop), destructive (deletions). The "
        "operator applies the rest of the plan. Default: no class.",
        json_schema_extra=SET,
    )
    foreign_pending: Literal["Refuse", "Include"] | None = Field(
        None,
        description="What to do when another client's staged changes would go live too: Refuse applies nothing and "
        "names them; Include applies them as well. Default: Refuse.",
    )
    on_failure: Literal["Hold", "Revert"] | None = Field(
        None,
        description="After an apply that left the network worse: Hold keeps the state and reports it; Revert writes "
        "the previous values again and applies once more. Worse are reloads that failed, zones that are no longer "
        "available, and what the nodes show: sessions, VNIs, flood lists and routes to attached NICs that are gone "
        "and that the change does not explain. Default: Hold.",
    )
    confirm_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="With onFailure: Revert, how long the network is compared after an apply, in seconds, 0 to 3600. "
        "The SDN lock is held meanwhile. An apply interrupts sessions for up to 45 and routes for up to 60 seconds "
        "anyway, so less than 80 seconds find little. Additions are confirmed as soon as all is well. Default: 90.",
    )
    min_interval_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="How long a namespace whose objects caused about five applies in a row waits for its next one, in "
        "seconds, 0 to 3600; it doubles while that goes on, up to four times as much. The next apply, whoever's turn "
        "it is, has all changes that wait. Writes to guests' NICs and to firewalls are spaced likewise, each object by "
        "itself. 0: never. Default: 15.",
    )
    task_timeout_seconds: Annotated[int, Field(ge=10, le=3600)] | None = Field(
        None,
        description="How long an apply and the nodes' reloads are followed, in seconds, 10 to 3600. Default: 300.",
    )
