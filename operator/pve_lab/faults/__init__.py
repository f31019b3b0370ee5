"""Everything that can go wrong, on demand.

A fault has a beginning and an end: ``lab.faults.add(NodeOffline(node="pve3"))`` in a test, ``--fault
node-offline:node=pve3`` on the command line, ``POST /faults`` on the admin port; the same names and parameters
everywhere. Three sorts:

* around requests (:class:`RequestFault`), chosen by method, path and user, as often as ``times``, ``skip`` and
  ``share`` say. Chance depends on the seed and on how often that very request came before, not on which thread was
  quicker, so that a run can be repeated.
* where the cluster asks: reloads of nodes, tasks, the plugging of NICs (``ports.Interference``).
* deeds of another client, once: edits, locks, migrations, reboots. They go through the API like those of any client.
"""

from pve_lab.faults.fault import Fault
from pve_lab.faults.foreign import ForeignChange, ForeignLock, HostEdit, OutOfBandEdit
from pve_lab.faults.foreign_client import foreign_edit, foreign_request
from pve_lab.faults.guests import GuestEdited, GuestLocked, GuestMoves, HotplugFails
from pve_lab.faults.kinds import KINDS, make, parameters, parse
from pve_lab.faults.nodes import NodeHangs, NodeOffline, NodeReboot, NoIfupdown2
from pve_lab.faults.outside import ServerFails, ServerHangs
from pve_lab.faults.pmxcfs import CfsLockBusy, NoQuorum
from pve_lab.faults.reloads import ReloadFails, ReloadHangs, ReloadSlow, ReloadWarns
from pve_lab.faults.requests import (
    DROPPED,
    ApplyWithoutWorker,
    DropAfter,
    DropBefore,
    ErrorAnswer,
    GatewayError,
    Latency,
    Proceed,
    RequestFault,
    TokenExpired,
)
from pve_lab.faults.tasks import TaskFails, TaskWarns

__all__ = [
    "DROPPED",
    "KINDS",
    "ApplyWithoutWorker",
    "CfsLockBusy",
    "DropAfter",
    "DropBefore",
    "ErrorAnswer",
    "Fault",
    "ForeignChange",
    "ForeignLock",
    "GatewayError",
    "GuestEdited",
    "GuestLocked",
    "GuestMoves",
    "HostEdit",
    "HotplugFails",
    "Latency",
    "NoIfupdown2",
    "NoQuorum",
    "NodeHangs",
    "NodeOffline",
    "NodeReboot",
    "OutOfBandEdit",
    "Proceed",
    "ReloadFails",
    "ReloadHangs",
    "ReloadSlow",
    "ReloadWarns",
    "RequestFault",
    "ServerFails",
    "ServerHangs",
    "TaskFails",
    "TaskWarns",
    "TokenExpired",
    "foreign_edit",
    "foreign_request",
    "make",
    "parameters",
    "parse",
]
