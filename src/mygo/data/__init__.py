"""Data: samples, the readers that make them, the pool and the benchmark on disk, encoding, and the built-in mini
world.

The way of a row: files -> readers -> formats (turns) -> sources -> pool -> encoding (chat).
"""
