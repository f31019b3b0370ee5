"""One object's values end no computation about all of them: where one cannot be decided, it alone is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey

log = logging.getLogger(__name__)
T = TypeVar("T")


def alone(key: ObjectKey, decide: Callable[[], T], otherwise: Callable[[Problem], T]) -> T:
    """What ``decide`` gives; where it raises, what ``otherwise`` makes of the problem that the object has then."""
    try:
        return decide()
    except Exception as error:
        return otherwise(defect(key, error))


def defect(key: ObjectKey, error: Exception) -> Problem:
    """The problem of an object that the operator has no answer to: the log has the exception, the status its class."""
    log.error("%s cannot be planned", key, exc_info=error)
    message = f"the operator cannot plan this object ({type(error).__name__}); its log has the details"
    return Problem(Reason.INVALID_SPEC, message)
