"""Tells browsers what happens while it happens, by server-sent events."""

from foedus.server.live.hub import Hub

__all__ = ["Hub"]
