"""Transaction → fraud score: histories of the card and the terminal, features, an encoder, reasons in words."""
