"""pve_lab: an embedded Proxmox VE cluster to try things out on, for demos and for tests.

It answers the part of the Proxmox API that EVPN networking needs: the SDN configuration with its two copies, fabrics,
the lock, applies and their tasks, nodes, guests, and everything that can go wrong with them. The data plane behind it
is a model, or real FRR in network namespaces. The operator never imports it. docs/lab.md lists what is faithful, what
is modelled and what is left out.
"""
