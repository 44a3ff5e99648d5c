"""Glassbox: everything the studio does, without a screen. Rooms and doors are described in docs/architecture.md."""
