"""What the host tools raise for people: a sentence that says what is wrong and what to do."""


class ToolError(Exception):
    """Something the user can mend; the command line prints it and exits with status 1."""
