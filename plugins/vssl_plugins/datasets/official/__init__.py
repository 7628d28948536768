"""Official datasets as users have them: annotations read, files walked, both matched, the index kept.

annotation_files    lists, tables and JSON, with errors that name the file and the line
annotations         what annotations say: classes, lists, and an entry per video
subsets             class-balanced, nested subsets, and lists of ids as plain text
matching            files to entries, by a key
index_file          what was found, in one file of the cache
prepared            all of it in order: the half of a dataset plugin that is the same for all
"""
