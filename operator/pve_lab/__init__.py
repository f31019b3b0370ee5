"""pve_lab: an embedded Proxmox VE cluster to try things out on, for demos and for tests.

It answers the part of the Proxmox API that EVPN networking needs: the SDN configuration with its two copies, the
lock, applies and their tasks, nodes, guests. Behind it stands a small model of what the fabric would learn. It is
never imported by the operator, and there is no network behind it.
"""
