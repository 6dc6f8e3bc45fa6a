"""Fuzz tests of the input that strangers can send: `make fuzz SECONDS=600`.

Each target is a module of this package with a function `test_one`. It takes any bytes, and raises
only if the program breaks a promise. Its corpus, `corpus/TARGET/`, has inputs that reach different
code; `test_corpus.py` feeds them to it in `make test`, without atheris.
"""

TARGETS = {
    "replies": ("webntpd.protocol.wire", "webntpd.protocol.onwire"),
    "leaplists": ("webntpd.leap",),
    "configurations": ("webntpd.config",),
    "clients": ("webntpd.exchange",),
    "connections": ("webntpd.server",),
    "votes": ("webntpd.ntp.system", "webntpd.ntp.selection"),
}
"""Each target, and the modules whose branches guide the search. Fewer modules are faster."""
