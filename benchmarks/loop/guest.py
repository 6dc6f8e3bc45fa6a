"""The guest: QEMU's process, a shell in it, and the port that tells its clock."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.common.namespaces import DIE_WITH_US
from benchmarks.common.process import Process, ProcessError, free_port, running
from benchmarks.loop.image import SERVER_PORT, SHELL_PORT, Image

KVM, TCG = "kvm", "tcg"
CPU = {KVM: "host", TCG: "max"}
BOOT_TIME = {KVM: 30.0, TCG: 300.0}
"""How long a boot may take, s."""
COMMAND_TIME = 120.0
ATTEMPT_TIME = 10.0
"""How long an attempt may take while the guest boots, s: its network may lose packets then."""
RETRY = 0.5
MEMORY = "512"  # MiB
KERNEL_ARGUMENTS = "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 tsc=nowatchdog"
"""`tsc=nowatchdog`: else the kernel would drop a good TSC whenever the emulator is held up."""


class GuestError(Exception):
    """The guest did not boot, or a script failed in it."""


class Guest:
    """A guest that runs. `boot_time` is in s; `url` reads its clock."""

    def __init__(self, process: Process, accelerator: str, shell_port: int, url: str) -> None:
        self.accelerator = accelerator
        self.url = url
        self.boot_time = 0.0
        self._process = process
        self._shell_port = shell_port

    def run(self, script: str) -> str:
        """Run a shell script as root, and return its output. Raises GuestError if it fails."""
        try:
            output, status = self._attempt(script, COMMAND_TIME)
        except OSError as error:
            raise GuestError(f"the guest's shell does not answer: {error}") from error
        if status != "0":
            raise GuestError(
                f"in the guest, {script!r} ended with {status or 'no status'}: {output}"
            )
        return output

    def _attempt(self, script: str, timeout: float) -> tuple[str, str]:
        with socket.create_connection(("127.0.0.1", self._shell_port), timeout) as shell:
            shell.sendall(script.encode())
            shell.shutdown(socket.SHUT_WR)
            with shell.makefile("rb") as reader:
                output = reader.read().decode(errors="replace")
        text, _, status = output.rstrip("\n").rpartition("\n")
        return text.removesuffix("\n"), status

    def write(self, path: str, text: str) -> None:
        """Write a file. The text may hold anything but the line that ends it."""
        self.run(f"cat >{path} <<'END OF FILE'\n{text}\nEND OF FILE")

    def await_boot(self) -> None:
        """Wait until systemd has started everything. Raises GuestError or ProcessError."""
        begin = time.monotonic()
        while time.monotonic() < begin + BOOT_TIME[self.accelerator]:
            self._process.check()
            try:
                output, _ = self._attempt("systemctl is-system-running", ATTEMPT_TIME)
            except OSError:
                output = ""
            if output in ("running", "degraded"):
                self.boot_time = time.monotonic() - begin
                return
            time.sleep(RETRY)
        raise GuestError(f"the guest has not booted within {BOOT_TIME[self.accelerator]:g} s")


def accelerators() -> Sequence[str]:
    """The ways to run a guest here, the best first."""
    return (KVM, TCG) if os.access("/dev/kvm", os.R_OK | os.W_OK) else (TCG,)


@contextmanager
def booted(image: Image, choice: Sequence[str]) -> Iterator[Guest]:
    """Boot a guest in the first of these ways that works; it is killed in the end.

    The image stays as it is. Raises GuestError if no way works.
    """
    with ExitStack() as stack:
        yield _first_that_boots(image, choice, stack)


def _first_that_boots(image: Image, choice: Sequence[str], stack: ExitStack) -> Guest:
    reasons = []
    for accelerator in choice:
        with ExitStack() as attempt:
            guest = attempt.enter_context(_started(image, accelerator))
            try:
                guest.await_boot()
            except (GuestError, ProcessError) as error:
                reasons.append(f"{accelerator}: {error}")
                continue
            stack.push(attempt.pop_all())
            return guest
    raise GuestError("; ".join(reasons))


@contextmanager
def _started(image: Image, accelerator: str) -> Iterator[Guest]:
    shell, server = free_port(), free_port()
    forward = "".join(
        f",hostfwd=tcp:127.0.0.1:{here}-:{there}"
        for here, there in ((shell, SHELL_PORT), (server, SERVER_PORT))
    )
    with tempfile.TemporaryDirectory(prefix="webntpd-loop-") as directory:
        argv = (
            *DIE_WITH_US, "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot",
            "-accel", accelerator, "-cpu", CPU[accelerator], "-smp", "1", "-m", MEMORY,
            "-kernel", image.kernel, "-initrd", image.initrd, "-append", KERNEL_ARGUMENTS,
            "-drive", f"file={image.disk},format=raw,if=virtio,snapshot=on,discard=unmap",
            "-netdev", f"user,id=net{forward}", "-device", "virtio-net-pci,netdev=net",
            "-device", "virtio-rng-pci", "-rtc", "base=utc",
            "-serial", f"file:{Path(directory, 'console')}",
        )  # fmt: skip
        with running(argv) as process:
            yield Guest(process, accelerator, shell, f"ws://127.0.0.1:{server}/")
