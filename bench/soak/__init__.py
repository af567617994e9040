"""All parts on real servers for a long time, with random faults, and the books checked at the end."""
