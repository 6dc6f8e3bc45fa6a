"""A conversation over a WebSocket, as docs/protocol.md shows one.

GET /             the first line has the path,
offer NAME, ...   the second the subprotocols that the client offers,
agree NAME        the third the one that the server takes,
> MESSAGE         and then each message that the client sends
< MESSAGE         is followed by the one that the server sends.
"""

import json

from tests.docs.machine import Machine
from tests.docs.shape import shape

ADDRESS = "time.example.org"
# Run on the machine, where the server is: prints the third line and the answers.
CLIENT = """
import json, sys, trio, trio_websocket
path, offer, messages = json.load(sys.stdin)
async def talk():
    url = "ws://{address}" + path
    async with trio_websocket.open_websocket_url(url, subprotocols=offer) as socket:
        print("agree", socket.subprotocol)
        for message in messages:
            await socket.send_message(message)
            print(await socket.get_message())
trio.run(talk)
""".replace("{address}", ADDRESS)


def talk(machine: Machine, text: str) -> None:
    get, offer, agree, *messages = text.splitlines()
    path = get.removeprefix("GET ")
    offered = offer.removeprefix("offer ").split(", ")
    sent = [line.removeprefix("> ") for line in messages if line.startswith("> ")]
    expected = [agree, *(line.removeprefix("< ") for line in messages if line.startswith("< "))]
    machine.write("/tmp/client.py", CLIENT)
    machine.write("/tmp/conversation.json", json.dumps([path, offered, sent]))
    printed = machine.must("python3 /tmp/client.py </tmp/conversation.json")
    assert shape(printed) == shape("\n".join(expected)), printed
