"""Sockets that listen, sockets with untrusted clients, and streams with kernel timestamps."""
