"""Training workflows on Hugging Face's Trainer: warm-up of the selector's gates, LoRA fine-tuning of the target.

The way of a sample: dataset -> objectives (on trainer) -> saving; trainable and lora say what learns.
"""
