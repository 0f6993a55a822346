"""Conversion: a base model in, a selector out, and the proof that nothing but the gates was added.

The way of a model: convert -> mygo.models.loading -> parity; survey: all differences (`python -m mygo.conversion`).
"""
