"""Select: from what `collect` recorded of each sample to the samples that are worth training on.

The way of a sample: statistics -> scores (clustering) -> strategies -> output; agreement and report say how well.
"""
