"""Evaluation reports of any model: what they consist of, their charts, and their pages in HTML and Markdown."""
