"""Loggers people already use, fed with what goes into metrics.db: TensorBoard, MLflow, Weights & Biases."""
