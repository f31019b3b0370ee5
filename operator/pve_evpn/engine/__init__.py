"""When to act and in which order: cache -> plan -> transaction -> observe -> report. Knows ports, not libraries."""
