"""The command line `foedus`, the Python SDK, settings, live progress and the report."""
