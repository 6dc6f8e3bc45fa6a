"""Compares what a document shows with what a program prints: the same but for what is measured."""

import re

NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
UNIT = r"(?: ?(?:µs|ms|ns|days|s|m|h|d)\b)?"
# What differs from one time to the next, and what takes its place.
VARIABLE = (
    (re.compile(r"\w+://time\.example\.\w+/(?:, \w+://time\.example\.\w+/)*"), "PEER"),
    (re.compile(r"^[-*+x ](?=\S)", re.MULTILINE), "*"),  # a peer's tally
    (re.compile(r"\b(?:kernel|user)(?:/(?:kernel|user))?\b"), "kernel"),
    (re.compile(r"\b(?:behind|ahead)\b"), "behind"),
    (re.compile(r"\b(?:true|false)\b"), "true"),
    (re.compile(r"expires in \d+ days"), "expired"),
    # Two samples of different peers may be closer to each other than the consumer's looks.
    (re.compile(r"(?:, \d+ not consumed)?(?:; now: not consumed)?$", re.MULTILINE), ""),
    (re.compile(r": not consumed: .*$", re.MULTILINE), ": consumed"),
    (re.compile(r"^Problem +: not consumed\n", re.MULTILINE), ""),
    (re.compile(r"\b\w{3}, \d\d \w{3} \d{4} [\d:]+ GMT"), "DATE"),
    (re.compile(rf"(?<![\w.]){NUMBER}{UNIT}"), "N"),
    (re.compile(r"\s+"), " "),
)


def shape(text: str) -> list[str]:
    """The lines of a text with one word for each kind of thing that varies."""
    for pattern, replacement in VARIABLE[:-1]:
        text = pattern.sub(replacement, text)
    blanks, blank = VARIABLE[-1]
    lines = (blanks.sub(blank, line).strip() for line in text.splitlines())
    return [line for line in lines if line]
