"""Data planes behind the cluster's nodes: ``model`` computes what they would say, ``frr`` has real FRR do the work."""
