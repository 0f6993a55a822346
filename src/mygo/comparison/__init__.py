"""Strategies side by side: cells (a seed of a strategy) -> workspace (runs the pipeline) -> pairing -> table.

epochs: those of one warm-up side by side in the same way.
"""
