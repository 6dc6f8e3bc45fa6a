"""Whether the service can use the files that a configuration names.

Root may read every file; the service's user may not. So when root checks a configuration, a child
process with the rights of that user reads the files.
"""

import json
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from webntpd.config.document import DEFAULT_LEAP_FILE
from webntpd.config.faults import Key, line
from webntpd.config.parameters import Config
from webntpd.exchange.tls import make_context
from webntpd.names import DEFAULT_CONFIG
from webntpd.protocol.rejected import Rejected
from webntpd.server import ServerError, ServerParameters, check_server

SERVICE_USER = "webntpd"
"""The `User=` of the units."""
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - names
"""The directories that `ProtectHome=yes` and `PrivateTmp=yes` of the units hide."""
OWN_REMEDY = "let its group read it: chgrp webntpd, chmod 640"
REMEDY = "copy it to a directory such as /etc/webntpd, for the group webntpd to read"


@dataclass(frozen=True, slots=True)
class Reader:
    """The user of this process, and the directories that the service cannot see."""

    user: str
    hidden: tuple[Path, ...] = ()

    def fault(self, file: Path, remedy: str = REMEDY) -> str | None:
        """Why the user cannot read a file; None if it can."""
        for directory in self.hidden:
            if any(each.is_relative_to(directory) for each in (file, _resolved(file))):
                name = str(file)
                return (
                    f"{name!r} is in {directory}, which the unit hides from the service; {remedy}"
                )
        try:
            file.read_bytes()
        except PermissionError as error:
            return f"the user {self.user} cannot read {str(file)!r}: {error.strerror}; {remedy}"
        except OSError as error:
            return f"cannot read {str(file)!r}: {error.strerror}"
        return None


def check_files(config: Config, path: Path) -> tuple[str, list[str]]:
    """Read the files; return the name of the user that read them, and a line for each fault.

    `path` is the configuration. The user is the service's if that exists and we are root, else our
    own.
    """
    service = _service_user() if os.geteuid() == 0 else None
    if service is not None:
        reader = Reader(service.pw_name, HIDDEN)
        faults = _as_user(service, lambda: list(_faults(config, path, reader)))
        if faults is not None:
            return reader.user, faults
    reader = Reader(_own_name())
    return reader.user, list(_faults(config, path, reader))


def _service_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a number without a name, as in a container
        return str(os.geteuid())


def _as_user(user: pwd.struct_passwd, check: Callable[[], list[str]]) -> list[str] | None:
    """The result of `check` in a child process that runs as `user`; None if the child failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            with os.fdopen(writing, "w") as output:
                json.dump(check(), output)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    faults: list[str] | None = json.loads(said) if said else None
    return faults


def _faults(config: Config, path: Path, reader: Reader) -> Iterator[str]:
    if path.parent == DEFAULT_CONFIG.parent and (reason := reader.fault(path, OWN_REMEDY)):
        yield f"{path}: {reason}"
    for index, peer in enumerate(config.peers):
        if (file := peer.exchange.ca_file) is not None:
            reason = reader.fault(file) or _not_trustworthy(file)
            if reason:
                yield line(path, Key("peer", index, "ca_file"), reason)
    leap = config.leap_file
    if leap != DEFAULT_LEAP_FILE and (reason := reader.fault(leap)):
        yield line(path, Key("leap", None, "file"), reason)
    if config.server is not None:
        for name, reason in _server_faults(config.server, reader):
            yield line(path, Key("server", None, name), reason)


def _server_faults(server: ServerParameters, reader: Reader) -> Iterator[tuple[str, str]]:
    """Each key whose file cannot be used, with the reason."""
    files = {"certificate": server.certificate, "key": server.key}
    faults = {name: reader.fault(file) for name, file in files.items() if file is not None}
    if any(faults.values()):
        yield from ((name, reason) for name, reason in faults.items() if reason)
        return
    try:
        check_server(server)
    except ServerError as error:
        yield "certificate", str(error)


def _resolved(file: Path) -> Path:
    try:
        return file.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return file


def _not_trustworthy(file: Path) -> str | None:
    try:
        make_context(file)
    except Rejected as error:
        return error.failure.detail
    return None
