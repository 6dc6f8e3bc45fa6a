"""Reads choices off the bytes of an input."""


class Bytes:
    """The bytes that are left; where none is, zeros come."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, limit: int) -> int:
        return self.byte() % limit

    def share(self) -> float:
        """A number from 0 to 1."""
        return self.byte() / 255

    def rest(self) -> bytes:
        rest, self._at = self._data[self._at :], len(self._data)
        return rest
