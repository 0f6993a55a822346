"""Collect: one forward pass per sample, its statistics in Parquet shards that survive a crash.

The way of a sample: sharing (claims) -> collect -> mygo.scoring -> shards -> sharing (publishing), rejected or not.
"""
