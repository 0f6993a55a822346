"""Strategies side by side: cells (a seed of a strategy) -> workspace (runs the pipeline) -> pairing -> table."""
