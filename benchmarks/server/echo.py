"""Answers whatever arrives with fixed bytes: `python -m benchmarks.server.echo PORT`.

The least that a server can do for a WebSocket message, to show how much load the load generator
can make at all.
"""

import select
import socket
import sys

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
REPLY = b"\x81\x7e\x00\xf0" + b'{"it":1489217288.328757,"st":1489217288.328757000'.ljust(239) + b"}"


def main(port: str) -> None:
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=4096)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if (client := clients.get(fd)) is None:
                client, _address = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                epoll.register(client, select.EPOLLIN)
            elif data := client.recv(4096):
                client.send(UPGRADED if data.startswith(b"GET") else REPLY)
            else:
                clients.pop(fd).close()


if __name__ == "__main__":
    main(sys.argv[1])
