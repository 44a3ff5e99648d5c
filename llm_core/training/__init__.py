"""One loop: optimizers, schedules, precision, checkpoints, observers."""
