"""The clocks of this machine: reads them, notices that they were set, reads the kernel's bound."""
