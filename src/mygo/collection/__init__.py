"""Collect: one forward pass per sample, its statistics in Parquet shards that survive a crash."""
