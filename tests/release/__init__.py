"""A release tried without GitHub: every step of its workflow, on this machine's tools and a registry of its own."""
