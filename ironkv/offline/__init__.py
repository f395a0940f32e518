"""Tools for the data directory of a stopped node: look at it, check it, shrink it.

They read files, not sockets; the tools that meet a running node are in `ironkv.tools`. What they share is in
`console`. Exit status: 0 well, 1 something is wrong with what was looked at, 2 wrong usage, 66 no such
directory or file, 69 a node uses the directory, 70 damaged.
"""
