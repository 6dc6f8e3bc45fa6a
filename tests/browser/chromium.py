"""A real browser without a screen, driven by its DevTools protocol through a pipe.

A pipe rather than a port, so that the browser can live in a sandbox's network, where it reaches
nothing but the test's servers.
"""

import base64
import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import PATIENCE, Sandbox, require

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# The browser reads commands from descriptor 3 and writes to 4.
START = 'in=$1 out=$2; shift 2; exec "$@" 3<"$in" 4>"$out"'
END = b"\0"  # of each message


class DevTools:
    """Commands to the browser and its events; `page` is the session that pages are driven by."""

    def __init__(self, commands: int, messages: int) -> None:
        self._commands = commands
        self._messages = messages
        self._received = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []
        self.page: str | None = None

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; the test fails if it is refused."""
        self._last_id += 1
        command = {"id": self._last_id, "method": method, "params": parameters}
        if self.page is not None:
            command["sessionId"] = self.page
        os.write(self._commands, json.dumps(command).encode() + END)
        while (message := self._next()).get("id") != self._last_id:
            self.events.append(message)
        if "error" in message:
            pytest.fail(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while END not in self._received:
            remaining = max(0.0, deadline - time.monotonic())
            if not select.select([self._messages], [], [], remaining)[0]:
                pytest.fail("the browser does not answer")
            data = os.read(self._messages, 65536)
            if not data:
                pytest.fail("the browser is gone")
            self._received += data
        text, _, self._received = self._received.partition(END)
        message: dict[str, Any] = json.loads(text)
        return message


class Browser:
    """One page of a browser."""

    def __init__(self, tools: DevTools) -> None:
        self._tools = tools

    def open(self, url: str, before: str = "") -> None:
        """Go to a page; `before` is a script that runs ahead of its own."""
        if before:
            self._tools.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self._tools.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression, awaited if it is a promise."""
        result = self._tools.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            pytest.fail(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def text(self, element: str) -> str:
        """The text of the element with that id, empty while there is none."""
        return str(self.evaluate(f"document.getElementById('{element}')?.textContent ?? ''"))

    def value(self, element: str) -> float | None:
        """The number in the <data> element with that id."""
        value = self.evaluate(f"document.getElementById('{element}')?.value ?? ''")
        return float(value) if value else None

    def show_as(self, *, width: int, height: int, scheme: str = "light") -> None:
        """The size of the window, and whether the visitor prefers a light or a dark scheme."""
        self._tools.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tools.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        picture = self._tools.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(picture["data"]))

    def complaints(self) -> list[str]:
        """What the console shows as an error or a warning, and exceptions that nobody caught."""
        self.evaluate("null")  # what came before its answer has been read by then
        return [text for event in self._tools.events if (text := complaint(event))]


def complaint(event: dict[str, Any]) -> str | None:
    match event["method"], event["params"]:
        case "Runtime.exceptionThrown", {"exceptionDetails": details}:
            return f"exception: {details}"
        case "Runtime.consoleAPICalled", {"type": "error" | "warning" | "assert", "args": args}:
            return f"console: {args}"
        case "Log.entryAdded", {"entry": {"level": "error" | "warning"} as entry}:
            return f"{entry['source']}: {entry['text']} {entry.get('url', '')}"
    return None


@contextmanager
def chromium(sandbox: Sandbox) -> Iterator[Browser]:
    """A browser with an empty profile, which ends with the sandbox."""
    program = require("chromium")
    pipes = sandbox.path / "commands", sandbox.path / "messages"
    for pipe in pipes:
        os.mkfifo(pipe)
    profile = sandbox.path / "profile"
    sandbox.start(
        "/bin/sh", "-c", START, "sh", *pipes, program, *FLAGS, f"--user-data-dir={profile}"
    )
    commands = os.open(pipes[0], os.O_RDWR)  # not to wait for the other end, should it not come
    messages = os.open(pipes[1], os.O_RDONLY | os.O_NONBLOCK)
    try:
        tools = DevTools(commands, messages)
        target = tools.call("Target.createTarget", url="about:blank")["targetId"]
        session = tools.call("Target.attachToTarget", targetId=target, flatten=True)
        tools.page = session["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            tools.call(f"{domain}.enable")
        yield Browser(tools)
    finally:
        os.close(commands)
        os.close(messages)
