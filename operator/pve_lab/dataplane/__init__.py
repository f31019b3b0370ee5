"""What stands behind the lab's API: where routes come from, and what an apply does to nodes."""
