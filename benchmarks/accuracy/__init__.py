"""How far the offset is off when it is known to be zero: client and server on one clock.

Run it with `make bench-accuracy`. Server and client are two processes of this machine, over
loopback and, as root, over a veth pair between two network namespaces; once with the machine to
themselves and once with a third process that keeps a core busy. Whatever offset is measured is an
error of timestamps and of paths that are not the same both ways.

All ways of asking take turns within one run, in an order that changes from round to round, and
chronyd in NTP's interleaved mode runs beside them as the yardstick: what disturbs one disturbs all
of them alike, so that their ratios mean more than the figures.

The client of `user, new connection` is ours with the reference client's rule: a connection for
each sample, two stamps of user space, the server's one time.
"""
