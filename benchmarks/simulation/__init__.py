"""Simulated days: the real peers and system process in known true time, in a consumer's loop.

Run it with `make simulate`. Each scenario is an oscillator and a number of servers behind paths
with their own delays, losses and lies. The daemon's own state machines poll the servers, and a
consumer steers the wall clock by the published samples. True time is known, so each publication has
a known error, which its bound must cover. Rivals get the very same packets.

    oscillator   true time and RAW
    network      one-way delays, losses, lies
    consumers/   chrony, ntpd or none: they steer a wall clock
    rivals/      other estimators on the same packets
    scenarios    the days
    day          one day, event by event
    score        from errors to figures
"""
