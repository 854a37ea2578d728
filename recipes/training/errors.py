"""TrainingError, raised when a run must stop."""


class TrainingError(RuntimeError):
    """A run must stop for a reason other than wrong input. Recipes print the message as one line and exit with code 1."""
