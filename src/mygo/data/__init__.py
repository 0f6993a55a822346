"""Data: samples, the readers that make them, the pool and the benchmark on disk, encoding, and the built-in mini
world.
"""
