"""The page of ``pve-evpn ui``: the network as a live picture, served to one browser on this machine.

``live`` keeps a snapshot current by watches, ``content`` makes of it what the page shows (pure), ``server`` guards and
serves it, ``static`` is the page. Nothing of it runs in the cluster.
"""

from __future__ import annotations

from importlib import resources


def static_file(name: str) -> bytes:
    """A file of the page."""
    return resources.files(__name__).joinpath("static", name).read_bytes()
