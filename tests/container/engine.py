"""podman in a sandbox, which stands for the host, and docker-compose, which asks it to run containers.

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
START_TIME = 60.0  # s, at most

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
        return self.engine.podman("healthcheck", "run", self.name).wait(START_TIME) == 0

    @property
    def log(self) -> str:
        return self.engine.output("logs", self.name)

    def stop(self) -> int:
        """Stop it as `docker stop` does; its exit code."""
        self.engine.podman("stop", self.name).wait(START_TIME)
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
        service = ("--mount", "sh", "-ec", SERVE_API, self._podman, self._url)
        environment = {
            "CONTAINERS_CONF": str(configuration),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }
        host.start(require("unshare"), *service, env=environment)
        eventually(socket.exists, "podman's socket")

    def podman(self, *arguments: str) -> Program:
        return self.host.start(self._podman, "--url", self._url, *arguments)

    def output(self, *arguments: str) -> str:
        """Standard output and standard error of a podman command, which must succeed."""
        program = self.podman(*arguments)
        assert program.wait(START_TIME) == 0, program.output
        return program.output

    @contextmanager
    def service(self, name: str, override: str = "") -> Iterator[Container]:
        """A service of compose.yaml that runs, with what else the test says of it in YAML."""
        additions = self.host.path / "compose.override.yaml"
        additions.write_text(f"services: {{{name}: {{{override}}}}}\n")
        files = ("--file", str(ROOT / "compose.yaml"), "--file", str(additions))
        try:
            self._compose(*files, "up", "--detach", "--no-build", name)
            container = Container(self, f"{self._project}_{name}_1")
            yield container
            print(f"--- {name}\n{container.log}")
        finally:
            self._compose(*files, "--profile", name, "down", "--timeout", "30")

    def _compose(self, *arguments: str) -> None:
        program = self.host.start(
            require("docker-compose"),
            *("--project-name", self._project, *arguments),
            env={"DOCKER_HOST": self._url},
        )
        assert program.wait(START_TIME) == 0, program.output
