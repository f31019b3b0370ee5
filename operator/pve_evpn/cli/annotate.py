"""What `orphan`, `pause`, `resume`, `reconcile` and `approve` share: one annotation, shown before it is set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pve_evpn.cli.failures import Refusal
from pve_evpn.cli.objects import DRY_RUN, Named, Raw, change_each, find
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import CustomObjects, api_client

#: The annotation's value for one object; None removes the annotation.
Value = Callable[[Raw], str | None]


async def annotate_named(
    named: Named, name: str, value: Value, *, effect: Callable[[ObjectKey, Raw], str], done: str
) -> int:
    """Annotate the objects of the command line, after a line about each that says what will happen (``effect``).

    Returns the exit status. Raises Refusal where no object is named or one does not exist.
    """
    if not named.objects:
        raise Refusal("name at least one object as KIND/NAME")
    async with api_client() as api:
        custom = CustomObjects(api)
        objects = await find(custom, named.objects, named.namespace)
        for key, raw in objects:
            print(f"{key}: {effect(key, raw)}")
        return await annotate(custom, objects, name, value, yes=named.yes, done=done)


async def annotate(
    custom: CustomObjects,
    objects: Sequence[tuple[ObjectKey, Raw]],
    name: str,
    value: Value,
    *,
    yes: bool,
    done: str,
) -> int:
    """Set the annotation; without ``yes`` say that nothing was changed.

    Returns the exit status. ``done`` is printed after each object.
    """
    if not yes:
        print(DRY_RUN)
        return 0

    async def write(key: ObjectKey, raw: Raw) -> bool:
        return await custom.patch(key, {"metadata": {"annotations": {name: value(raw)}}}, status=False) is not None

    return await change_each(objects, write, done)
