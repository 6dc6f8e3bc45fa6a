"""The NTP algorithms (RFC 5905) as pure logic: time and chance come in as arguments."""
