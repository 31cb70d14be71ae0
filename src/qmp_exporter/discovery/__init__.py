"""Which monitors there are: sockets found by pattern.

A scan is the truth; inotify only says when to scan before it is due.
"""
