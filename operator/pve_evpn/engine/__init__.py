"""When to act and in which order: store -> plan -> transaction -> observe -> report. Knows ports, not libraries."""
