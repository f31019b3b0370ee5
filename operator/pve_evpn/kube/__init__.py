"""Kubernetes as the operator uses it: events in, objects, Secrets, Lease and Events out."""
