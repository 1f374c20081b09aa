"""The worker process: compares what people asked for with what is, and acts."""
