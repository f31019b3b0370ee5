"""Lab nodes as network namespaces with the real FRR: needs root and Debian's `frr`.

`topology.Topology` is the way in. Each node has its own network, mounts, processes and host name, so that what runs
it (FRR's daemons, `frr-reload.py`, sshd, the operator's helper) is what runs on a Proxmox node, unchanged. Only the
cables are not: veth pairs and a bridge for the underlay, a veth pair where a VM has a tap.
"""
