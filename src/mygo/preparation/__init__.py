"""What `prepare` makes: the pool, the benchmark, and the mini world's tokenizer and base models.

The way of a row: mygo.data -> prepare -> data/pool; of a base model: tokenizer -> base_models -> data/base.
"""
