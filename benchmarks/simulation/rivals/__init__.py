"""Other estimators, which get the very same packets.

`first` has a wall clock of its own with a consumer of the same kind; the rest are scored in open
loop, against X itself.
"""
