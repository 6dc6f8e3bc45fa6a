"""System V shared memory, which Python's library does not cover: the C library's four calls.

Every function raises OSError with the call's errno. Removing a segment is left out on purpose: a
reader that holds a removed segment would never see another sample.
"""

import ctypes
import os
from dataclasses import dataclass

IPC_CREAT = 0o1000
SHM_STAT_ANY = 15  # IPC_STAT that needs no read permission (Linux 4.17)
SHM_DEST = 0o1000  # in a segment's mode: it goes with its last user


class _ShmidDs(ctypes.Structure):
    """The head of struct shmid_ds, the same on every 64-bit Linux; the reserve covers the rest."""

    _fields_ = (
        ("key", ctypes.c_int),
        ("uid", ctypes.c_uint),
        ("gid", ctypes.c_uint),
        ("cuid", ctypes.c_uint),
        ("cgid", ctypes.c_uint),
        ("mode", ctypes.c_uint),
        ("reserve", ctypes.c_byte * 232),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
_libc.shmget.restype = ctypes.c_int
_libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_libc.shmat.restype = ctypes.c_ssize_t  # an address, or -1
_libc.shmdt.argtypes = (ctypes.c_void_p,)
_libc.shmdt.restype = ctypes.c_int
_libc.shmctl.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(_ShmidDs))
_libc.shmctl.restype = ctypes.c_int


@dataclass(frozen=True, slots=True)
class Permissions:
    """Owner, creator and mode of a segment; `doomed` says that it is removed."""

    uid: int
    cuid: int
    mode: int
    doomed: bool


def get(key: int, size: int, flags: int) -> int:
    """The identifier of the segment with this key; `flags` are a mode, and IPC_CREAT."""
    return _checked(_libc.shmget(key, size, flags))


def attach(shmid: int) -> int:
    """Map the segment for reading and writing, and return its address."""
    return _checked(_libc.shmat(shmid, None, 0))


def detach(address: int) -> None:
    _checked(_libc.shmdt(address))


def stat(shmid: int) -> Permissions:
    """The permissions of a segment, whether we may read it or not.

    SHM_STAT_ANY takes an index into the kernel's table. That is the lower part of an identifier,
    and the kernel drops the rest by itself.
    """
    found = _ShmidDs()
    _checked(_libc.shmctl(shmid, SHM_STAT_ANY, ctypes.byref(found)))
    return Permissions(found.uid, found.cuid, found.mode & 0o777, bool(found.mode & SHM_DEST))


def look_up(key: int) -> Permissions:
    """As stat(), for the segment with this key. shmget(2) needs no permission for that."""
    return stat(get(key, 0, 0))


def _checked(result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
