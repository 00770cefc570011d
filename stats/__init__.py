"""Statistics that web code and recipes share: numpy only, and no import of the other packages of this project."""
