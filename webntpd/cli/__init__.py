"""The commands `webntpd` and `webntp`: arguments, output on the terminal, exit codes."""
