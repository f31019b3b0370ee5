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
    """Everything semantic is a 500 in Proxmox."""
    return ApiError(500, message)


def bad_parameters(**errors: str) -> ApiError:
    """What Proxmox' schema validation answers."""
    names = {name.replace("_", "-"): text for name, text in errors.items()}
    return ApiError(400, "Parameter verification failed.", names)
