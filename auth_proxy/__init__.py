"""The authenticating proxy: tokens, limits, forwarding, the two plain routes."""
