"""Heat maps of a model's answers, computed in a process of their own: see `task`."""
