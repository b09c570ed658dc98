"""The entries of the datasets, a module each."""
