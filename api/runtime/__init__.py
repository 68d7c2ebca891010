"""How work runs and stops in one process."""
