"""Mistakes that a user of connectors can mend; the message says what was got, what is expected, what to do."""


class ConnectorError(ValueError):
    """A connector that does not exist, cannot be imported, or cannot be built with the settings given."""
