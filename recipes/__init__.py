"""Runnable experiments: `python -m mitigate.recipes.sweep --config …`."""
