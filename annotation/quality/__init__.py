"""How far judgments can be relied on: figures over what people said.

Pure:
figures      a figure that may be unknown, with its interval
agreement    how far people agree on orders of the same candidates
bias         what else than the answers themselves may have moved people
reliability  how far one person's judgments agree with the others' and with the known ones; the weight made of it

From the database:
records      a project's rankings as plain rows, read once
report       everything together, as the page and the API show it
votes        what a snapshot takes instead of the bare rankings: adjudications, weights, exclusions
"""
