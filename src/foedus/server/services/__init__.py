"""What people do on the platform, in one place for pages and API.

Each function is given a transaction and the actor, asks `require` first, and returns frozen records. Nothing
here knows of HTTP or HTML.
"""
