"""The data browser: lists of a project's records, searched, filtered and paged by position; what may be seen of them.

search    which records contain words
filters   the filters of each list
lists     the lists: rows, sorts, what a row shows and exports
paging    one page of a list, from a position on
blind     what is hidden from a person who may still annotate a task
selection the records that a bulk action is about
history   what happened to one record
"""
