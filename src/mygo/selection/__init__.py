"""Select: from what `collect` recorded of each sample to the samples that are worth training on."""
