"""Pictures of the statistics files."""


class PlotError(Exception):
    """There is nothing to draw, or no way to; the text says what to do."""
