"""What a node has promised, on disk. `directory` guards the data directory, `journal` keeps the log."""
