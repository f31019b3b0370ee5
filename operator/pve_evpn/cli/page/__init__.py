"""The page of ``pve-evpn ui``: the network as a live picture, served to one browser on this machine.

``live`` keeps a snapshot current by watches, ``content`` makes of it what the page shows (pure), ``server`` guards and
serves it, ``static`` is the page. Nothing of it runs in the cluster.
"""
