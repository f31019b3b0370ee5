"""Typed statuses: from decisions, state and health to what each object says. Pure."""
