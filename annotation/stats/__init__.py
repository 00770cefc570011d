"""Statistics that web code and recipes share: numpy only, no Django, and no import of other folders."""
