"""The SDN configuration: objects in two copies, the lock, and the rules between objects."""

from pve_lab.sdn.config import SdnConfig
from pve_lab.sdn.objects import Config

__all__ = ["Config", "SdnConfig"]
