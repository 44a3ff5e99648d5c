"""What is on disk: registry, run folders, metrics, commands, checkpoint folders."""
