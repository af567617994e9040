"""Benchmarks, side by side with what else a user would pick; ratios of one run, never in a timed test."""
