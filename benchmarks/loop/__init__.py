"""A closed loop in a real kernel: webntpd feeds chronyd, which steers the clock of a guest.

The guest is a Debian machine in QEMU with the packages of webntpd and chrony. It polls a server of
this machine over an emulated path, while this machine reads the guest's clock over a clean one.
Nothing here touches the clock of this machine.
"""
