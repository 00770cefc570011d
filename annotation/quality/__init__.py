"""How far judgments can be relied on: figures over what people said. Pure but for `records`, which reads the database.

agreement    how far people agree on orders of the same candidates
bias         what else than the answers themselves may have moved people
reliability  how far one person's judgments agree with the others' and with the known ones; the weight made of it
records      a project's rankings as plain rows, read once
report       everything together, as the page and the API show it
votes        what a snapshot takes instead of the bare rankings: adjudications, weights, exclusions
"""
