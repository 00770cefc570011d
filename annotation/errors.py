"""What a person is told when something they asked for cannot be done."""


class NotPossible(Exception):
    """Something a person asked for cannot be done; the message is for them."""
