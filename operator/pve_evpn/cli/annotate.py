"""What `pause`, `resume`, `reconcile` and `approve` share: one annotation on named objects, shown before it is set."""

from __future__ import annotations

from collections.abc import Sequence

from pve_evpn.cli.objects import DRY_RUN, Raw, change_each
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import CustomObjects


async def annotate(
    custom: CustomObjects,
    objects: Sequence[tuple[ObjectKey, Raw]],
    name: str,
    value: str | None,
    *,
    yes: bool,
    done: str,
) -> int:
    """Set the annotation, or remove it where ``value`` is None; without ``yes`` say that nothing was changed.

    Returns the exit status. ``done`` is printed after each object.
    """
    if not yes:
        print(DRY_RUN)
        return 0

    async def write(key: ObjectKey, _raw: Raw) -> bool:
        return await custom.patch(key, {"metadata": {"annotations": {name: value}}}, status=False) is not None

    return await change_each(objects, write, done)
