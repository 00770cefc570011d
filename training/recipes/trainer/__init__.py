"""Training with TRL: its models, callback and checks."""
