"""Tells browsers what happens while it happens, by server-sent events."""

from foedus.server.live.hub import ANYTHING, Hub

__all__ = ["ANYTHING", "Hub"]
