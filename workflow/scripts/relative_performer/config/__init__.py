"""Options of a run, and the pipeline's configuration."""
