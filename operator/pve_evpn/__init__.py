"""pve-evpn-operator: EVPN networks of Proxmox VE clusters as Kubernetes objects.

This package is the operator. The order in which its sub-packages may import each other is the order in which a
change travels through it, and is enforced by import-linter (see pyproject.toml): ``kube`` watches and writes
Kubernetes, ``engine`` decides when to act, ``pve`` and ``observe`` talk to Proxmox and its nodes, ``domain`` plans
and judges without I/O, ``api`` is the contract with the user.
"""

__version__ = "0.1.0"
