"""Redis's own serialization, as in the files it saves and in what DUMP replies: bytes in, bytes out.

Everything that Redis writes up to 7.2 (RDB version 11) is read, save values of modules. What is written is
version 10 unless 11 is asked for, so that Redis 7.0 can read it as well as 7.2; nothing is compressed.
"""
