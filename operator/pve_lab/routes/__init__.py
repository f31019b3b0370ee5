"""The API below ``/api2/json``, one module per branch of the tree. Importing this package registers all of it."""

from pve_lab.routes import access, cluster, fabrics, firewall, guests, indexes, nodes, sdn, tasks

__all__ = ["access", "cluster", "fabrics", "firewall", "guests", "indexes", "nodes", "sdn", "tasks"]
