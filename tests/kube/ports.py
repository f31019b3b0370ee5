"""Ports for servers that must be told their port before they start.

Not from the range out of which the kernel serves connections that go out: between the choice and the server's start
such a connection may take the port, for a machine under test makes thousands of them.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10240


def free_ports(count: int) -> list[int]:
    """Free TCP ports of 127.0.0.1, each different. Raises OSError where there are not that many."""
    lowest, highest = map(int, _EPHEMERAL.read_text().split())
    candidates = [*range(_LOWEST, lowest), *range(highest + 1, 65536)]
    random.shuffle(candidates)
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            if not candidates:
                raise OSError("no port is free outside the range of outgoing connections")
            port = candidates.pop()
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]


def has_ipv6() -> bool:
    """Whether this machine's loopback has an IPv6 address."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
