"""`check-config` reads the files that the configuration names as the service's user would."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.unit.config.conftest import Write
from webntpd.config import Config, ConfigError, access, load
from webntpd.config.access import Reader, check_files

BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
CHECK = """
import sys
from pathlib import Path
from webntpd.cli.main import main
from webntpd.config import access
access.SERVICE_USER = "nobody"
access.HIDDEN = (Path(sys.argv[2]),)
access.DEFAULT_CONFIG = Path(sys.argv[3])
sys.exit(main(["check-config", "--config", sys.argv[1]]))
"""


@pytest.fixture(autouse=True)
def _no_service_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which webntpd was never installed."""
    monkeypatch.setattr(access, "SERVICE_USER", "no such user")


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a.pem and a.key, which belong together, and b.key, which does not."""
    directory = tmp_path_factory.mktemp("pems")
    directory.chmod(0o755)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    for name in ("a", "b"):
        issued = authority.issue_cert(f"{name}.example")
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
    (directory / "text").write_text("hello\n")
    secret = load_pem_private_key((directory / "a.key").read_bytes(), None)
    encrypted = secret.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    (directory / "encrypted.key").write_bytes(encrypted)
    (directory / "broken.pem").write_text(BROKEN)
    return directory


def tls(certificate: Path, key: Path | None = None) -> str:
    keys = f"certificate = {str(certificate)!r}\n"
    keys += f"key = {str(key)!r}\n" if key else ""
    return f'[server]\nlisten_tls = ["127.0.0.1:0"]\n{keys}'


def faults(path: Path) -> list[str]:
    _, found = check_files(load(path), path)
    assert all(fault.startswith(f"{path}: ") for fault in found)
    return [fault.removeprefix(f"{path}: ") for fault in found]


# -- what is in the files ----------------------------------------------------------------------


def test_a_certificate_and_its_key_are_good(pems: Path, write: Write) -> None:
    assert faults(write(tls(pems / "a.pem", pems / "a.key"))) == []


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        ("a.pem", "b.key", "the private key in {}/b.key belongs to another certificate"),
        ("a.pem", None, "there is no private key in it: name the key's PEM file by `key`"),
        ("a.pem", "text", "there is no private key in {}/text: name the key's PEM file by `key`"),
        (
            "a.pem",
            "encrypted.key",
            "its key is encrypted, and a service has no password: decrypt it",
        ),
        ("broken.pem", "a.key", ""),
        ("text", "a.key", "there is no certificate in it: it must be a PEM file"),
    ],
)
def test_a_certificate_belongs_to_its_key(
    pems: Path, write: Write, certificate: str, key: str | None, reason: str
) -> None:
    path = write(tls(pems / certificate, pems / key if key else None))
    [fault] = faults(path)
    start = f"[server] certificate: cannot use certificate {pems}/{certificate}: "
    assert fault.startswith(f"{start}{reason.format(pems)}")


def test_a_ca_file_holds_certificates(pems: Path, write: Write) -> None:
    peers = "".join(
        f'[[peer]]\nname = "{name}"\nurl = "wss://a"\nca_file = "{pems / name}"\n'
        for name in ("ca.pem", "text")
    )
    assert faults(write(peers)) == [
        f"[[peer]] #2 ca_file: {pems}/text: there is no certificate in it: it must be a PEM file"
    ]


# -- who reads them ----------------------------------------------------------------------------


def test_the_user_that_runs_is_named_where_there_is_no_service_user(write: Write) -> None:
    path = write("")
    assert check_files(load(path), path) == (access._own_name(), [])


def test_a_user_other_than_root_checks_with_its_own_rights(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65533)  # a number without a name
    path = write("")
    assert check_files(load(path), path) == ("65533", [])


def checked_as_nobody(
    path: Path, hidden: Path = Path("/nowhere"), *, own: bool = False
) -> tuple[int, str, str]:
    """Exit code, output and faults of check-config where the service's user is nobody.

    `own` says that `path` lies where the service has its configuration. In a process of its own,
    since one with threads must not fork.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHECK, path, hidden, path if own else "/etc/webntpd.toml"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.replace(f"{path}: ", "")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory of this test that every user may enter.

    It is not below pytest's own directory, which each run of pytest closes to other users.
    """
    with TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@needs_root
def test_root_checks_as_the_service_user(pems: Path, write: Write, open_path: Path) -> None:
    key = open_path / "a.key"
    key.write_bytes((pems / "a.key").read_bytes())
    certificate = open_path / "a.pem"
    certificate.write_bytes((pems / "a.pem").read_bytes())
    key.chmod(0o644)
    path = write(tls(certificate, key))
    code, output, _ = checked_as_nobody(path)
    assert (code, output) == (
        0,
        "good: 0 peers, 0 refclocks and a server; checked as the user nobody\n",
    )
    key.chmod(0o600)
    assert checked_as_nobody(path) == (
        2,
        "",
        f"[server] key: the user nobody cannot read '{key}': Permission denied; {access.REMEDY}\n",
    )


AS_OURSELVES = """
import os
for name in ("initgroups", "setgid", "setuid"):
    setattr(os, name, lambda *_: None)
os.geteuid = lambda: 0
"""


def test_the_check_of_a_child_process_is_that_of_the_command(
    pems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the tests that need root do, but the child stays the user that it is."""
    monkeypatch.setitem(globals(), "CHECK", AS_OURSELVES + CHECK)
    path = tmp_path / "webntpd.toml"
    peer = f'[[peer]]\nurl = "wss://a"\nca_file = "{pems / "ca.pem"}"\n'
    path.write_text(f'{peer}[[refclock]]\ntype = "shm"\n')
    code, _, said = checked_as_nobody(path, hidden=pems)
    assert code == 2
    assert f"is in {pems}, which the unit hides from the service" in said
    code, output, _ = checked_as_nobody(path)
    assert code == 0
    assert output.endswith("checked as the user nobody\n")


@needs_root
def test_root_that_cannot_become_the_service_user_checks_for_itself(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_as_user", lambda *_: None)
    monkeypatch.setattr(access, "SERVICE_USER", "nobody")
    path = write("")
    assert check_files(load(path), path) == ("root", [])


@needs_root
def test_a_file_in_a_closed_directory_is_named(pems: Path, write: Write, open_path: Path) -> None:
    closed = open_path / "live"
    closed.mkdir(mode=0o700)
    for name in ("a.pem", "a.key"):
        (closed / name).write_bytes((pems / name).read_bytes())
    code, _, said = checked_as_nobody(write(tls(closed / "a.pem", closed / "a.key")))
    assert code == 2
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "[server] certificate",
        "[server] key",
    ]
    assert f"the user nobody cannot read '{closed}/a.pem': Permission denied" in said


@needs_root
def test_a_file_that_the_unit_hides_is_named(pems: Path, write: Write, open_path: Path) -> None:
    link = open_path / "link.pem"
    link.symlink_to(pems / "ca.pem")
    path = write(f'[[peer]]\nurl = "wss://a"\nca_file = "{link}"\n[[refclock]]\ntype = "shm"\n')
    code, _, said = checked_as_nobody(path, hidden=pems)
    assert code == 2
    assert said == (
        f"[[peer]] #1 ca_file: '{link}' is in {pems}, which the unit hides from the service;"
        f" {access.REMEDY}\n"
    )


@needs_root
def test_the_services_own_configuration_must_be_readable(open_path: Path) -> None:
    path = open_path / "webntpd.toml"
    path.write_text('[server]\nlisten = ["127.0.0.1:0"]\n')
    path.chmod(0o600)
    code, _, said = checked_as_nobody(path, own=True)
    assert code == 2
    assert said == (
        f"the user nobody cannot read '{path}': Permission denied; {access.OWN_REMEDY}\n"
    )
    assert checked_as_nobody(path)[0] == 0  # a draft


def test_a_configuration_that_went_meanwhile_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "DEFAULT_CONFIG", tmp_path / "webntpd.toml")
    path = tmp_path / "other.toml"
    [fault] = check_files(Config(), path)[1]
    assert fault == f"{path}: cannot read {str(path)!r}: No such file or directory"


# -- the daemon --------------------------------------------------------------------------------


def test_a_closed_directory_does_not_put_the_blame_on_the_configuration(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def refuse(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self == Path("/etc/letsencrypt/live/x.pem"):
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)
    config = load(write(tls(Path("/etc/letsencrypt/live/x.pem"))))
    assert config.server is not None
    assert config.server.certificate == Path("/etc/letsencrypt/live/x.pem")


def test_a_directory_is_no_certificate(tmp_path: Path, write: Write) -> None:
    path = write(tls(tmp_path))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert f"[server] certificate: is a directory, and must be a file: {str(tmp_path)!r}" in str(
        caught.value
    )


def test_a_pipe_is_no_certificate(tmp_path: Path, write: Write) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # reading it would hang
    with pytest.raises(ConfigError) as caught:
        load(write(tls(pipe)))
    assert f"[server] certificate: is no regular file: {str(pipe)!r}" in str(caught.value)


def test_a_file_that_another_user_may_not_read_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    file = tmp_path / "a.pem"
    fault = Reader("someone").fault(file)
    assert fault == (f"the user someone cannot read '{file}': Permission denied; {access.REMEDY}")
    assert Reader("someone", (tmp_path,)).fault(file) != fault


def test_links_in_a_circle_are_no_file_to_read(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    fault = Reader("someone", (Path("/nowhere"),)).fault(circle)
    assert fault == f"cannot read '{circle}': Too many levels of symbolic links"


def test_every_file_that_cannot_be_read_is_named(
    tmp_path: Path, pems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "webntpd.toml"
    monkeypatch.setattr(access, "DEFAULT_CONFIG", path)
    certificate, key = tmp_path / "a.pem", tmp_path / "a.key"
    for file in (certificate, key):
        file.write_bytes((pems / file.name).read_bytes())
    leap = tmp_path / "leap-seconds.list"
    leap.write_text("")
    path.write_text(f'{tls(certificate, key)}[leap]\nfile = "{leap}"\n')
    config = load(path)
    for file in (path, certificate, key, leap):
        file.unlink()
    _, found = check_files(config, path)
    assert [fault.removeprefix(f"{path}: ").partition(":")[0] for fault in found] == [
        f"cannot read '{path}'",
        "[leap] file",
        "[server] certificate",
        "[server] key",
    ]
