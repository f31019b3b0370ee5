"""How a command fails: one line on stderr that says what to do, exit status 1, and no traceback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException


class Refusal(Exception):
    """The command does nothing; the text says why and what to do instead."""


def guarded(work: Coroutine[Any, Any, int]) -> int:
    """Run it; the exit status."""
    try:
        return asyncio.run(work)
    except Refusal as error:
        text = str(error)
    except ApiException as error:
        text = f"Kubernetes says {error.status} {error.reason}"
    except (aiohttp.ClientError, OSError, ConfigException) as error:
        text = f"Kubernetes cannot be reached: {error}"
    print(f"pve-evpn: {text}", file=sys.stderr)
    return 1
