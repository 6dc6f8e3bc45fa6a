"""A snapshot of the daemon, and every form in which people and programs see it."""
