"""FRR's printed answers as typed records, for FRR 8.4 to 10.

Parsers only: text in, `pve_evpn.domain.evpn` records out, and `FrrParseError` for everything else. Who fetched the
text, and how, is not their business.
"""

from pve_evpn.observe.frr.bulk import COMMANDS, Answer, observation, split
from pve_evpn.observe.frr.document import FrrParseError

__all__ = ["COMMANDS", "Answer", "FrrParseError", "observation", "split"]
