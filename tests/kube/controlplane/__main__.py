"""``python -m tests.kube.controlplane build``: fill the cache, so that nothing waits for a compiler later."""

from __future__ import annotations

import sys

from tests.kube.controlplane.binaries import ensure

if sys.argv[1:] != ["build"]:
    sys.exit("usage: python -m tests.kube.controlplane build")
for name, path in ensure().items():
    print(f"{name}: {path}")
