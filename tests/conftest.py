"""Being here puts this folder on the import path, so tests can say `from shared import case_file`."""
