"""The `glassbox` command: the same verbs as the pages."""
