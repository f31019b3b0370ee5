"""pve_lab: an embedded Proxmox VE cluster to try things out on, for demos and for tests.

It answers the part of the Proxmox API that EVPN networking needs: the SDN configuration with its two copies, fabrics,
the lock, applies and their tasks, nodes, guests, and everything that can go wrong with them. Behind it stands a model
of what the fabric would learn, or real FRR in network namespaces. It is never imported by the operator. docs/lab.md
tells what is faithful, what is modelled and what is not there.
"""
