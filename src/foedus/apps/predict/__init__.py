"""FL_PREDICT: a registered model on a member's own private data."""
