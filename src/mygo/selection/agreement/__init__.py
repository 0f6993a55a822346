"""How well scores and selections agree with labels: people's, or what published selections kept.

The way of a label: labels (columns of texts to numbers) -> measure (a score against a label: areas, rank, overlap,
pairs, partial) -> table -> layout. Rows that share a prompt are one cluster.
"""
