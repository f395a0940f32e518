"""Lua for EVAL: a sandbox in which a script does the same on every replica.

    interpreter   one Lua state: compiles scripts and runs them within bounds
    chunks        compiled Lua, taken apart and put together
    bytecode      changes to compiled scripts: all they do is counted, and errors name the line
    conversion    replies of commands into Lua values, and what a script wrote as its reply back
    *.lua         the sandbox itself, and the libraries that scripts find in Redis

A run depends on the script, its arguments and the replies to its commands, and on nothing else: see
docs/decisions. The commands themselves are none of this package's business: it is given a `Caller`.
"""
