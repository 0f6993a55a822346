"""Evaluation with lm-eval: benchmark -> tasks -> harness (base, or target with its adapter) -> results -> report."""
