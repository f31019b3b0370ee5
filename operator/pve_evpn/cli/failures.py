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
    except Refusal as problem:
        text = str(problem)
    except ApiException as problem:
        text = f"Kubernetes says {problem.status} {problem.reason}"
    except (aiohttp.ClientError, OSError, ConfigException) as problem:
        text = f"Kubernetes cannot be reached: {problem}"
    print(f"pve-evpn: {text}", file=sys.stderr)
    return 1
