"""Data sets → models: the only place that imports torch and transformers; needs the `train` extra."""
