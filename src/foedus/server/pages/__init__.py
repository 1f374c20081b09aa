"""The pages: HTML made on the server, alive by htmx."""
