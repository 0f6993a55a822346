"""Select: from what `collect` recorded of each sample to the samples that are worth training on.

The way of a sample: reading -> scores (clustering) -> strategies -> spending -> result; agreement says how well.
Many does all of it by many settings.
"""
