"""The daemon: which tasks exist, what they pass to each other, how they restart and change."""
