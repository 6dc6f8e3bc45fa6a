"""What the daemon costs the machine that it runs on: memory, time on a core, wake-ups, start-up.

Run it with `make bench-footprint`. Everything runs at once, on this machine's loopback: webntpd
with a peer of each kind of URL polled every 16 s, chronyd with as many sources at the same pace,
each with a server of its own, and both once more with a poll so long that none falls into the time
that is measured. What the latter take is what being there costs; the difference is what polls cost.
One more webntpd that does not poll is scraped every second, and differs from the other by that.

The daemon has what it has as a service: a service manager that hears of its state and wants to be
fed as a watchdog, a consumer that takes its samples, and the default bursts.
"""
