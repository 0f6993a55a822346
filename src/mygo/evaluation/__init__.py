"""Evaluation: lm-eval on the target with and without its adapter."""
