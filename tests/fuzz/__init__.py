"""Bytes from outside, as bad as they can be.

targets     for each way in: what may be fed, and what must then hold
damage      what becomes of good bytes on a bad day
test_*      the short form, with hypothesis, in the suite
__main__    the long form, with atheris, by hand: python -m tests.fuzz TARGET -max_total_time=600
"""
