"""The hostile hour: a real daemon under abuse of many kinds at once, while a polite client polls.

`python -m tests.hostile --minutes 60` runs it, as root, in namespaces of its own: every program in
them ends with it. `abuse.py` has the kinds of abuse, `liar.py` the servers that abuse the daemon as
their client, `polite.py` the client whose answers count, and `hour.py` puts them together.
"""
