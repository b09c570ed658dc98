"""Results: reading them, statistics, tables and the style of figures. Nothing here needs torch."""
