"""Leap seconds: the published list, and the smears that are made of them."""
