"""Conversations as text: rendering (the tokenizer's template, or plain), and which spellings are special tokens."""
