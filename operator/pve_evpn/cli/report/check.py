"""One check of ``pve-evpn doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a check ended. Unknown is neither good nor bad: it says what was not seen, and why."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """``mend``: the command or the step that helps; empty where nothing has to be done."""

    name: str
    grade: Grade
    found: str
    mend: str = ""
