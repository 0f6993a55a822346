"""What `prepare` makes: the pool, the benchmark, and the mini world's tokenizer and base models."""
