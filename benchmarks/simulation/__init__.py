"""Simulated days: the real peers and system process on a virtual clock, in known true time.

Run it with `make simulate`. Each scenario is a local clock that drifts and a number of servers
behind paths with their own delays, losses and lies. The daemon's own tasks poll them through a
simulated exchange; as true time is known, so is the error of everything that they publish. The
reference client's rule gets the very same packets.
"""
