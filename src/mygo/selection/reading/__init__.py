"""What select reads: statistics, the pool they are of, a file of the user's.

The way of a sample: statistics (vectors: what is too wide to be held) -> opened, with its pool -> material, of which
scores are made; external reads the user's file, provenance asks whose the statistics are.
"""
