"""FRR's printed answers as typed records, for FRR 8.4 to 10.

Parsers only: text in, `pve_evpn.domain.observation` records out, `FrrParseError` for everything else.
The sources fetch the text.
"""

from pve_evpn.observe.frr.json import FrrParseError
from pve_evpn.observe.frr.output import COMMANDS, Answer, advertised, observation, reads_advertised, split

__all__ = ["COMMANDS", "Answer", "FrrParseError", "advertised", "observation", "reads_advertised", "split"]
