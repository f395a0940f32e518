"""Redis's commands: `table` holds the rows, one file per data type holds the functions.

Handlers are pure: they see the database, the arguments and a time, and return a plain value
(`resp.replies`) or raise `CommandError`. Importing this package fills the table.
"""
