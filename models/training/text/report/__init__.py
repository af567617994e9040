"""The evaluation report of text models: figures, charts, and their pages in HTML and Markdown."""
