"""Statistics files in ntpd's formats, which other programs plot."""
