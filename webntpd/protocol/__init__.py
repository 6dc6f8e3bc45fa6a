"""The WebNTP protocol: messages to and from integer timestamps, and readings from replies."""
