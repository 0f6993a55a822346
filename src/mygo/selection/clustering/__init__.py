"""Clustering: which samples are alike, by what the selector does with them or by their words.

The way of a sample: features -> (elbow: how many) -> kmeans, hdbscan, spectral or gaussian_mixture -> clusters, which
says how well; projection draws it. Beside them: samples (what is done on a part of a large pool), on_gpu.
"""
