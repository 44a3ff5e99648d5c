"""Who runs what, and where: devices, estimates, jobs, supervisor, worker, inference."""
