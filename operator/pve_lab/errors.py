"""The one exception of the lab: an HTTP answer that is not 200."""

from __future__ import annotations


class ApiError(Exception):
    """``message`` becomes the reason phrase and the body's message, ``errors`` names parameters (status 400)."""

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        self.status = status
        self.message = message
        self.errors = errors
        super().__init__(message)


def refused(message: str) -> ApiError:
    """What a handler of Proxmox refuses is a 500."""
    return ApiError(500, message)


def bad_parameters(**errors: str) -> ApiError:
    """What Proxmox' schema validation answers."""
    return wrong_parameters({name.replace("_", "-"): text for name, text in errors.items()})


def wrong_parameters(errors: dict[str, str]) -> ApiError:
    """The same for names that are no identifiers."""
    return ApiError(400, "Parameter verification failed.\n", errors)


def wrapped(prefix: str, problem: ApiError) -> ApiError:
    """An error inside the configuration lock: a 500 with a prefix, even of a wrong parameter."""
    text = problem.message
    if problem.errors:
        lines = "".join(f"{name}: {reason}\n" for name, reason in problem.errors.items())
        text = f"{problem.status} {text}{lines}"
    return ApiError(500, f"{prefix}: {text}")


def died(text: str, module: str, line: int) -> str:
    """A message of Perl's ``die`` without a newline: it names the place."""
    return f"{text} at /usr/share/perl5/PVE/{module} line {line}.\n"
