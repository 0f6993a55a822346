"""Scoring: one forward pass over samples that lie end to end in a row.

The way of a sample: rows -> engine -> row_statistics (attention inside its segment, NLL in tiles of logits), checked by
self_test.
"""
