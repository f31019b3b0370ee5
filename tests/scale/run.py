"""One run: the floor; then the operator, idle, with all objects, at rest, with one more, and started anew."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path

from tests.kube.controlplane import ControlPlane
from tests.scale import floor
from tests.scale.kube import Document, Kube
from tests.scale.objects import Size, base, many, vnet
from tests.scale.parts import LabProcess, Parts

_BEGAN = time.monotonic()
#: Without a request to Proxmox for so long, what was done is over: seconds, below the interval of syncs and polls.
_QUIET = 1.5
#: How long all objects may take to become Ready, in seconds.
_MOST = 1800


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run measured. Calls and writes are Proxmox', PATCHes those of objects at the API server.

    Attributes:
        all_ready_s: From the first creation until every object is Ready.
        floor_s: Creating the objects, one PATCH of each, the writes to Proxmox: each alone, added up.
        calls, writes, applies, patches: Until every object is Ready and the sync after it has ended.
        objects: How many became Ready: VNets and NICs.
        rest_calls_per_min, rest_cpu_percent, rest_patches: With nothing to do; percent of one core.
        restart_calls, restart_patches, restart_writes, restart_cpu_s: From a new process to its first sync's end.
        one_more_s, one_more_calls: From one more VNet's creation until it is Ready, and the sync has ended.
        rss_idle_mib, rss_mib: Resident memory with four objects, and at rest with all.
        longest_hold_ms: The most that one callback of the event loop computed, from the idle operator to the end.
    """

    all_ready_s: float
    floor_s: float
    calls: int
    writes: int
    applies: int
    patches: int
    objects: int
    rest_calls_per_min: float
    rest_cpu_percent: float
    rest_patches: int
    restart_calls: int
    restart_patches: int
    restart_writes: int
    restart_cpu_s: float
    one_more_s: float
    one_more_calls: int
    rss_idle_mib: float
    rss_mib: float
    longest_hold_ms: float

    def as_dict(self) -> dict[str, float]:
        return {field.name: round(getattr(self, field.name), 2) for field in fields(self)}


def measure(size: Size, plane: ControlPlane, folder: Path, *, clean: bool = False) -> Measured:
    """Run everything. Progress goes to stderr. ``clean``: leave the control plane without objects."""
    _step(f"{size}")
    writing = floor.proxmox_seconds(size, folder / "floor")
    _step(f"the writes to Proxmox alone took {writing:.1f} s")
    with LabProcess(size, folder / "lab") as lab:
        parts = Parts(plane, lab, folder)
        parts.prepare()
        try:
            measured = asyncio.run(_measure(size, parts, writing))
            if clean:
                parts.remove()
            return measured
        finally:
            parts.stop_operator()


async def _measure(size: Size, parts: Parts, writing: float) -> Measured:
    async with Kube(parts.plane) as kube:
        creating, patching = await floor.kubernetes_seconds(kube, size)
        _step(f"creating the objects alone took {creating:.1f} s, one PATCH of each {patching:.1f} s")
        parts.start_operator()
        objects = base(parts.lab.url, size.interval)
        await kube.create(objects)
        await _until_ready(kube, objects)
        parts.await_quiet(_QUIET)
        rss_idle, idle_at = parts.rss, time.monotonic()
        _step(f"the operator holds {len(objects)} objects and {rss_idle:.0f} MiB")

        parts.begin()
        documents = list(many(size))
        began = time.monotonic()
        await kube.create(documents)
        _step(f"{len(documents)} objects are created")
        await _until_ready(kube, documents)
        ready = time.monotonic() - began
        parts.await_quiet(_QUIET)
        calls, applies, patches = parts.calls, parts.applies, parts.patches
        _step(f"all are Ready after {ready:.1f} s: {calls}, {applies} applies, {patches} PATCHes")

        # What the nodes show of the new objects is reported by the polls after the sync.
        await _settled(parts)
        parts.begin()
        cpu = parts.cpu
        await asyncio.sleep(size.rest)
        rest, rest_patches, rest_cpu, rss = parts.calls, parts.patches, parts.cpu - cpu, parts.rss
        _step(f"at rest for {size.rest:.0f} s: {rest}, {rest_patches} PATCHes, {rest_cpu:.1f} s CPU, {rss:.0f} MiB")

        parts.begin()
        began = time.monotonic()
        extra = [vnet(size.vnets + 1, size.subnets)]
        await kube.create(extra)
        await _until_ready(kube, extra)
        one_more = time.monotonic() - began
        parts.await_quiet(_QUIET)
        one_more_calls = parts.calls
        _step(f"one more VNet is Ready after {one_more:.1f} s: {one_more_calls}")
        await _settled(parts)

        longest, what = parts.longest_hold(idle_at)
        _step(f"longest hold of the event loop: {what}")
        parts.stop_operator()
        parts.begin()
        parts.start_operator()
        led_at = time.monotonic()
        while parts.syncs < 1:
            await asyncio.sleep(0.1)
        restart_cpu = parts.cpu
        parts.await_quiet(_QUIET)
        restart, restart_patches = parts.calls, parts.patches
        hold, what = parts.longest_hold(led_at)
        _step(f"started anew: {restart}, {restart_patches} PATCHes, {restart_cpu:.1f} s CPU; longest hold: {what}")
    return Measured(
        all_ready_s=ready,
        floor_s=creating + patching + writing,
        calls=calls.calls,
        writes=calls.writes,
        applies=applies,
        patches=patches,
        objects=len(documents),
        rest_calls_per_min=rest.calls * 60 / size.rest,
        rest_cpu_percent=rest_cpu * 100 / size.rest,
        rest_patches=rest_patches,
        restart_calls=restart.calls,
        restart_patches=restart_patches,
        restart_writes=restart.writes,
        restart_cpu_s=restart_cpu,
        one_more_s=one_more,
        one_more_calls=one_more_calls.calls,
        rss_idle_mib=rss_idle,
        rss_mib=rss,
        longest_hold_ms=max(longest, hold),
    )


async def _settled(parts: Parts) -> None:
    """Two more syncs: what the polls in between found out is written then."""
    wanted = parts.syncs + 2
    while parts.syncs < wanted:
        await asyncio.sleep(0.2)
    parts.await_quiet(_QUIET)


async def _until_ready(kube: Kube, documents: list[Document]) -> None:
    """Until every one is Ready. One object stands for the rest until it is Ready; only then all are listed."""
    left = {(d["kind"], d["metadata"]["name"]): d for d in documents}
    deadline = time.monotonic() + _MOST
    while left:
        last = next(reversed(left.values()))
        while not await kube.is_ready(last):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{len(left)} objects are not Ready after {_MOST} s, {last['metadata']['name']} among them"
                )
            await asyncio.sleep(0.1)
        places = defaultdict(set)
        for kind, name in left:
            places[kind, left[kind, name]["metadata"].get("namespace", "")].add(name)
        for (kind, namespace), _ in places.items():
            for name in await kube.ready(kind, namespace):
                left.pop((kind, name), None)
        if left:
            _step(f"{len(left)} of {len(documents)} are not Ready yet")


def _step(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)
