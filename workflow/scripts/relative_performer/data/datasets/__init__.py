"""The entries of the datasets, one module each."""
