"""The SDN configuration: objects in two copies, the lock, and the rules between objects."""
