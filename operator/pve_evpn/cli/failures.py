"""How a command fails: one line on stderr that says what to do, exit status 1, and no traceback.

Exit statuses: 0 done, 1 it could not be done, 2 the command line is wrong, 3 done, and something is not Ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from pve_evpn.text import from_outside

NOT_GOOD = 3
_INTERRUPTED = 130


class Refusal(Exception):
    """The command does nothing; the text says why and what to do instead."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise :class:`Refusal` with one sentence for what may be expected to go wrong around a command."""
    try:
        yield
    except ApiException as error:
        raise Refusal(f"Kubernetes says {error.status}: {words_of(error)}") from None
    except ConfigException as error:
        text = f"Kubernetes cannot be reached: there is neither a service account nor a kubeconfig ({error})"
        raise Refusal(text) from None
    except (aiohttp.ClientError, OSError) as error:
        raise Refusal(f"Kubernetes cannot be reached: {error}") from None


def words_of(error: ApiException) -> str:
    """The API server's own message, which names the field or the right that is missing."""
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.reason)
    return from_outside(said)


def guarded(work: Coroutine[Any, Any, int]) -> int:
    """Run it; the exit status."""
    # Where there is no kubeconfig, the error says so, or the command needs none.
    logging.getLogger("kubernetes.aio.config").setLevel(logging.ERROR)
    try:
        with explained():
            return asyncio.run(work)
    except Refusal as error:
        print(f"pve-evpn: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
