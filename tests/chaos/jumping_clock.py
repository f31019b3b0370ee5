"""``pve-evpn`` with a clock that jumps: the file named by ``CHAOS_CLOCK`` has the seconds to add to the time of day."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

_FILE = Path(os.environ["CHAOS_CLOCK"])
_time = time.time


def _jumped() -> float:
    return _time() + float(_FILE.read_text() or 0)


def main() -> int:
    """Run the operator's own command line on it."""
    from pve_evpn import cli
    from pve_evpn.engine import clock
    from pve_evpn.kube import leader, ownership

    def now(*_: object) -> datetime:
        moment = datetime.fromtimestamp(_jumped(), UTC)
        return moment.replace(microsecond=moment.microsecond or 1)

    time.time = _jumped
    clock.SystemClock.now = now  # type: ignore[method-assign]
    leader.now = ownership.now = now
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
