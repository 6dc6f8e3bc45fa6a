"""Marks: what was wanted, and whether it was found."""

from dataclasses import asdict, dataclass

VERDICTS = {True: "met", False: "MISSED", None: "unclear"}


@dataclass(frozen=True, slots=True)
class Mark:
    """What was wanted and what was found; `met` is None if this run cannot tell."""

    wanted: str
    found: str
    met: bool | None

    def __str__(self) -> str:
        return f"{self.wanted:52} {self.found:34} {VERDICTS[self.met]}"

    def as_dict(self) -> dict[str, object]:
        return asdict(self)
