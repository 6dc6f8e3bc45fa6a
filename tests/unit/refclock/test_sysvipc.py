import pytest

from webntpd.refclock import sysvipc


def test_an_unknown_key_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        sysvipc.get(0x4E545030 + 0x7FFF, 0, 0)


def test_the_errors_of_each_call_reach_the_caller() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        sysvipc.attach(-1)
    with pytest.raises(OSError, match="Invalid argument"):
        sysvipc.detach(1)
    with pytest.raises(OSError, match="Invalid argument"):
        sysvipc.stat(-1)
