"""``python -m pve_evpn``: the same as the command ``pve-evpn``."""

from __future__ import annotations

import sys

from pve_evpn.cli import main

if __name__ == "__main__":
    sys.exit(main())
