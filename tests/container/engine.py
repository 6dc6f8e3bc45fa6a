"""podman in a sandbox, which stands for the host, and docker-compose, which asks it for containers.

The machine sees nothing of it: network, shared memory and the mounts of the containers are the
sandbox's, and the images are where packaging/build-container keeps them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness import ROOT, Program, Sandbox, eventually, require

IMAGE = "localhost/webntpd"
PATIENCE = 60.0  # s, for a command
STOP_TIME = 30  # s, after which a container is killed

# A test may have no right to make control groups, nor to raise limits.
CONTAINERS_CONF = """
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_config_dir = "{networks}"
"""
# crun works with control groups of version 2 alone, where some machines have both.
SERVE_API = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" system service --time=0 "$1"'


@dataclass(frozen=True)
class Container:
    """A container that compose has started."""

    engine: "Engine"
    name: str

    @property
    def pid(self) -> int:
        """That of its process 1, as the host sees it."""
        return int(self.inspect("{{.State.Pid}}"))

    def inspect(self, template: str) -> str:
        return self.engine.output("inspect", "--format", template, self.name).strip()

    @property
    def healthy(self) -> bool:
        """Whether HEALTHCHECK succeeds now."""
        return self.engine.podman("healthcheck", "run", self.name).wait(PATIENCE) == 0

    @property
    def log(self) -> str:
        return self.engine.output("logs", self.name)

    def stop(self) -> int:
        """Tell it to stop; its exit code, which is 137 if it has to be killed."""
        self.engine.output("stop", f"--time={STOP_TIME}", self.name)
        return int(self.inspect("{{.State.ExitCode}}"))


class Engine:
    """What an administrator has: `docker compose`, with the services of compose.yaml."""

    def __init__(self, host: Sandbox, storage: Path) -> None:
        self.host = host
        self._project = f"webntpd-test-{os.getpid()}"
        configuration = host.path / "containers.conf"
        configuration.write_text(CONTAINERS_CONF.format(networks=host.path / "networks"))
        socket = host.path / "podman.sock"
        self._url = f"unix://{socket}"
        self._podman = require("podman")
        self._environment = {
            "CONTAINERS_CONF": str(configuration),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "DOCKER_HOST": self._url,
        }
        service = ("--mount", "sh", "-ec", SERVE_API, self._podman, self._url)
        host.start(require("unshare"), *service, env=self._environment)
        eventually(socket.exists, "podman's socket")

    def podman(self, *arguments: str) -> Program:
        command = (self._podman, "--url", self._url, *arguments)
        return self.host.start(*command, env=self._environment)

    def output(self, *arguments: str) -> str:
        """Standard output and standard error of a podman command, which must succeed."""
        program = self.podman(*arguments)
        assert program.wait(PATIENCE) == 0, program.output
        return program.output

    @contextmanager
    def service(self, name: str, override: str = "") -> Iterator[Container]:
        """A service of compose.yaml that runs, with what else the test says of it in YAML."""
        additions = self.host.path / "compose.override.yaml"
        additions.write_text(f"services: {{{name}: {{{override}}}}}\n")
        files = ("--file", str(ROOT / "compose.yaml"), "--file", str(additions))
        try:
            self.compose(*files, "up", "--detach", "--no-build", name)
            with self._logged(f"{self._project}_{name}_1") as container:
                yield container
        finally:
            self.compose(*files, "--profile", name, "down", f"--timeout={STOP_TIME}")

    @contextmanager
    def container(self, *arguments: str) -> Iterator[Container]:
        """What `docker run` with these arguments runs."""
        name = f"{self._project}-run"
        try:
            self.output("run", "--detach", f"--name={name}", *arguments)
            with self._logged(name) as container:
                yield container
        finally:
            self.output("rm", "--force", "--ignore", "--time=0", name)

    @contextmanager
    def _logged(self, name: str) -> Iterator[Container]:
        container = Container(self, name)
        try:
            yield container
        finally:
            print(f"--- {name}\n{container.log}")

    def compose(self, *arguments: str) -> str:
        program = self.host.start(
            require("docker-compose"),
            *("--project-name", self._project, *arguments),
            env=self._environment,
        )
        assert program.wait(PATIENCE) == 0, program.output
        return program.output
