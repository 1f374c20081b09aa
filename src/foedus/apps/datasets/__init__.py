"""Private datasets: what stays with its owner, and the metadata that is kept about it."""
