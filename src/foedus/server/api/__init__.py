"""The JSON API below `/api/v1`: the same services, the same permissions as the pages."""
