"""The servers that are measured, each started on the server's core and ended with its block."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.process import Process, await_listener, free_port, running

HOST = "127.0.0.1"
VARIANT = "benchmarks.server.variant"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that runs; it listens on HOST."""

    name: str
    port: int
    process: Process


@contextmanager
def webntpd(cores: set[int], *, name: str = "webntpd") -> Iterator[Contender]:
    """`webntpd serve`, as users run it."""
    with _python(name, cores, "webntpd", "serve", f"{HOST}:{{port}}", "--local") as contender:
        yield contender


@contextmanager
def slow_paths(cores: set[int]) -> Iterator[Contender]:
    """The same server, but with h11 for each request and wsproto for each frame."""
    with _python("slow paths", cores, VARIANT, "{port}", "--slow") as contender:
        yield contender


@contextmanager
def workers(cores: set[int], count: int) -> Iterator[Contender]:
    """The slow paths in processes of their own: a load for those needs little of a core itself."""
    options = ("--slow", f"--workers={count}")
    with _python(f"slow, {count} workers", cores, VARIANT, "{port}", *options) as contender:
        yield contender


@contextmanager
def trio_websocket(cores: set[int]) -> Iterator[Contender]:
    """What one would write on trio-websocket: a task and its parser for each connection."""
    module = "benchmarks.server.triowebsocket"
    with _python("trio-websocket", cores, module, "{port}") as contender:
        yield contender


@contextmanager
def echo(cores: set[int]) -> Iterator[Contender]:
    """Fixed bytes for whatever comes: no server can be faster, so the load's own limit shows."""
    with _python("fixed bytes", cores, "benchmarks.server.echo", "{port}") as contender:
        yield contender


@contextmanager
def nginx(cores: set[int], directory: Path) -> Iterator[Contender]:
    """One process of nginx which answers with a string as long as our replies."""
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, host=HOST, port=port))
    command: list[str | Path] = ["nginx", "-p", directory, "-c", configuration, "-e", "stderr"]
    with running(command, cores=cores) as process:
        await_listener(process, port)
        yield Contender("nginx", port, process)


@contextmanager
def _python(name: str, cores: set[int], module: str, *arguments: str) -> Iterator[Contender]:
    port = free_port()
    command = [sys.executable, "-m", module, *(text.format(port=port) for text in arguments)]
    with running(command, cores=cores) as process:
        await_listener(process, port)
        yield Contender(name, port, process)


# nginx knows milliseconds; zeros make its timestamps as long as ours.
NGINX = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    tcp_nodelay on;
    default_type "application/json; charset=utf-8";
    server {{
        listen {host}:{port} backlog=4096;
        location / {{
            add_header Cache-Control "no-cache, no-store";
            return 200 '{{"id":"127.0.0.1:8080","it":1489217288.328757,"rt":${{msec}}000000,"st":${{msec}}000000,"time":${{msec}}000000,"leap":37,"next":1483228800.000000000,"step":1,"sync":true,"maxerr":0.000000000}}';
        }}
    }}
}}
"""  # noqa: E501  # a reply is one line
