"""Instruction data: tasks as instructions in plain words. No torch, and no Django but in data, funnel, pool, reading.

seeds      tasks with one example each, written for this project
tasks      small tasks made by rule: as many examples as wanted, each right by construction
recast     labelled examples as instruction rows, by several templates per task; what is kept unseen
form       a task as a model is shown it, and back
heuristics what a proposed task is refused for before anybody sees it
similarity ROUGE-L against a pool, which finds near-duplicates
pool       the examples that a request for new tasks may show
funnel     from proposed to accepted, step by step
reading    a file of tasks
data       what a project's run trains on
"""
