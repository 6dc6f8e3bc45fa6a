"""The error of the offset over a wide-area path, where the true offset is zero.

Run it with `make bench-path` (as root, with chronyd and a C compiler). Two network namespaces are
joined by an emulated path: delay, jitter, loss and full buffers, for real TCP and NTP. The
server's side runs `webntpd` with TLS and chronyd; the client's side runs `webntpd` over wss, which
feeds chronyd by shared memory, and that same chronyd asks the server by NTP (interleaved). Both
ends read the clock of one kernel, so every offset that is not zero is an error.

chronyd runs with -x and follows none of its sources (`noselect`): the loop is open, and both of
its estimates are of the same uncorrected clock. They are read every two seconds at the same
instants, as soon as both exist.
"""
