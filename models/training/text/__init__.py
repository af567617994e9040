"""One English encoder with two heads, sentiment and topic: data, fine-tuning, calibration, export and evaluation."""
