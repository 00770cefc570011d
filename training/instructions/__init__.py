"""Instruction data: tasks that a model learns to follow, and the ones that it proposes itself."""
