"""A request to the API and its answer, without HTTP: a test can ask the lab in its own process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pve_lab.json_schema import text_of


@dataclass(frozen=True)
class Request:
    """``params`` are body and query together, without those of the path; ``user`` is a user or a token."""

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    user: str = "root@pam"


@dataclass(frozen=True)
class Answer:
    """``body`` None is an empty one; ``drop`` closes the connection without an answer."""

    status: int
    reason: str
    body: Any = None
    drop: bool = False


@dataclass
class Call:
    """One request as its handler gets it: path parameters, all parameters, and the user or token that sent it."""

    path: dict[str, str]
    params: dict[str, Any]
    user: str

    def flag(self, name: str) -> bool:
        return text_of(self.params.get(name, "0")) == "1"

    def text(self, name: str) -> str | None:
        """A parameter as text, None if it was not given."""
        value = self.params.get(name)
        return None if value is None else text_of(value)

    @property
    def view(self) -> str:
        return "pending" if self.flag("pending") else "running" if self.flag("running") else "plain"


@dataclass
class Envelope:
    """What a handler returns when its answer has keys beside ``data``."""

    body: dict[str, Any]
