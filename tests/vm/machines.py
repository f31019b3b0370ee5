"""Two machines with a kernel of Debian's that has VRF devices: user-mode Linux, and QEMU.

Both have the host's root folder, read-only, with a layer in memory over it: programs, checkout and caches of the host
are there under their own paths, and nothing that is written outlives the machine.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from tests.vm import debian

_HERE = Path(__file__).resolve().parent
_GUEST = str(_HERE / "guest.sh")
#: The way to the host: what QEMU's machine needs before it sees any file.
_DRIVERS = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p")


class Machine(ABC):
    """A kind of machine. The constructors fetch what it needs and raise `debian.Unavailable`."""

    name: str
    modules: Path

    def __init__(self) -> None:
        self.busybox = debian.unpacked("busybox-static") / "bin" / "busybox"

    @abstractmethod
    def command(self, job: Path, memory: str) -> list[str]:
        """What starts a machine that runs ``run.sh`` of the folder ``job``, prints to stdout and then ends.

        ``memory`` is a number with a unit, like ``5G``.
        """

    def _first_process(self, job: Path, console: str) -> list[str]:
        return [_GUEST, "layer", str(self.modules), str(self.busybox), str(job), console]


class UserMode(Machine):
    """Linux as a program: it needs no hardware support and no rights, has one CPU, and no WireGuard."""

    name = "user-mode Linux"

    def __init__(self) -> None:
        super().__init__()
        files = debian.unpacked("user-mode-linux")
        self._kernel = files / "usr" / "bin" / "linux.uml"
        self.modules = next((files / "usr" / "lib" / "uml" / "modules").iterdir())

    def command(self, job: Path, memory: str) -> list[str]:
        return [
            str(self._kernel), f"mem={memory}", f"uml_dir={job}", "umid=machine", "quiet",
            "rootfstype=hostfs", "rootflags=/", "ro", "con=null", "con0=null,fd:1", "ssl=null",
            "init=/bin/sh", "--", *self._first_process(job, "/dev/tty0"),
        ]  # fmt: skip


class Qemu(Machine):
    """QEMU with KVM where the processor helps, else emulated, which is some ten times slower than user-mode Linux."""

    def __init__(self) -> None:
        super().__init__()
        debian.install("qemu-system-x86_64", "qemu-system-x86")
        files = debian.unpacked(debian.current_kernel())
        self._kernel = next((files / "boot").glob("vmlinuz-*"))
        self.modules = next((files / "lib" / "modules").iterdir())
        if not (self.modules / "modules.dep").exists():
            subprocess.run([self.busybox, "depmod", "-b", files, self.modules.name], check=True)
        self._kvm = has_kvm()
        self.name = "QEMU with KVM" if self._kvm else "QEMU, emulated"

    def command(self, job: Path, memory: str) -> list[str]:
        processor = ["-accel", "kvm", "-cpu", "host"] if self._kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        folders = [
            word
            for tag, path, mode in (("host", Path("/"), ",readonly=on"), ("job", job, ""))
            for word in (
                "-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{mode}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}",
            )
        ]  # fmt: skip
        arguments = " ".join(["console=ttyS0", "quiet", "panic=-1", "--", *self._first_process(job, "/dev/hvc0")])
        return [
            "qemu-system-x86_64", "-M", "q35", *processor, "-smp", "2", "-m", memory,
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(self._kernel), "-initrd", str(self._initramfs(job)), "-append", arguments,
            "-serial", f"file:{job}/kernel.log",
            "-chardev", "stdio,id=out,signal=off", "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=out",
            *folders,
        ]  # fmt: skip

    def _initramfs(self, job: Path) -> Path:
        folder = job / "initramfs"
        (folder / "modules").mkdir(parents=True)
        (folder / "bin").mkdir()
        files = {"init": _HERE / "boot.sh", "bin/busybox": self.busybox}
        order = load_order((self.modules / "modules.dep").read_text(), _DRIVERS)
        files |= {f"modules/{Path(module).name}": self.modules / module for module in order}
        for name, source in files.items():
            (folder / name).write_bytes(source.read_bytes())
            (folder / name).chmod(0o755)
        (folder / "modules" / "order").write_text("".join(f"{Path(module).name}\n" for module in order))
        names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
        pack = [self.busybox, "cpio", "-o", "-H", "newc"]
        done = subprocess.run(pack, cwd=folder, input=names.encode(), capture_output=True, check=True)
        archive = job / "initramfs.cpio"
        archive.write_bytes(done.stdout)
        return archive


def load_order(dependencies: str, wanted: tuple[str, ...]) -> list[str]:
    """Module files of ``modules.dep``, each after those that it needs. Raises KeyError where one is missing."""
    needs = {}
    for line in dependencies.splitlines():
        path, _, rest = line.partition(":")
        needs[Path(path).name.partition(".")[0]] = [*reversed(rest.split()), path]
    return list(dict.fromkeys(path for name in wanted for path in needs[name]))


def has_kvm(modules: Path = Path("/sys/module")) -> bool:
    """Whether the processor runs an unchanged kernel.

    ``/dev/kvm`` alone does not say so: with paravirtual KVM (``kvm_pvm``) it is there, and Debian's kernel hangs.
    """
    return Path("/dev/kvm").exists() and any((modules / name).exists() for name in ("kvm_intel", "kvm_amd"))


#: By name, the faster one first where the processor has KVM.
MACHINES: dict[str, type[Machine]] = {"qemu": Qemu, "uml": UserMode}


def choose(name: str = "") -> Machine:
    """A machine by name; without one, the first that this host can have. Raises `debian.Unavailable`."""
    names = [name] if name else list(MACHINES) if has_kvm() else list(reversed(MACHINES))
    refused = []
    for one in names:
        try:
            return MACHINES[one]()
        except debian.Unavailable as error:
            refused.append(f"{one}: {error}")
    raise debian.Unavailable("; ".join(refused))
