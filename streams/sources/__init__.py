"""Where events come from: files and standard input, replay by event time, feeds."""
