"""The SDN configuration: objects in two copies, the lock, and the rules between objects."""

from pve_lab.sdn.config import Config, SdnConfig

__all__ = ["Config", "SdnConfig"]
