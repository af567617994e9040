"""The evaluation report of text models: figures from judged rows, and the sections that show them."""
