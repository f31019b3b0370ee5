"""What a run measured, as a table for people."""

from __future__ import annotations

from tests.scale.objects import Size
from tests.scale.run import Measured


def table(size: Size, measured: Measured) -> str:
    """A row for each aim of docs/scale.md."""
    m = measured
    rows = [
        ("all Ready", f"{m.all_ready_s:.1f} s = {m.all_ready_s / m.floor_s:.1f} x the floor of {m.floor_s:.1f} s"),
        ("Proxmox calls", f"{m.calls} for {m.writes} writes = {m.calls / max(1, m.writes):.2f}, {m.applies} apply"),
        ("PATCHes", f"{m.patches} for {m.objects} objects = {m.patches / max(1, m.objects):.2f}"),
        ("at rest: Proxmox calls a minute", f"{m.rest_calls_per_min:.0f}"),
        ("at rest: CPU of one core", f"{m.rest_cpu_percent:.1f} %"),
        ("at rest: PATCHes", f"{m.rest_patches}"),
        ("one more VNet", f"{m.one_more_s:.1f} s with an apply of {size.task:g} s, {m.one_more_calls} calls"),
        (
            "restart",
            f"{m.restart_calls} calls, {m.restart_writes} writes, {m.restart_patches} PATCHes, "
            f"{m.restart_cpu_s:.1f} s CPU",
        ),
        ("resident memory", f"{m.rss_idle_mib:.0f} MiB idle, {m.rss_mib:.0f} MiB with all objects"),
        ("longest hold of the event loop", f"{m.longest_hold_ms:.0f} ms"),
    ]
    what = (
        f"{size.vnets} VNets with {size.subnets} subnets each, {size.guests * size.nics} NICs on {size.guests} guests"
    )
    wide = max(len(name) for name, _ in rows)
    return "\n".join([f"\n{what}, {size.nodes} nodes:", *(f"  {name:<{wide}}  {text}" for name, text in rows)])
