"""Where the budget is spent: duplicates leave a strategy's order, then budget and quotas cut it."""
