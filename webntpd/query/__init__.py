"""`webntpd query`: the time of some servers, once, without a daemon."""
