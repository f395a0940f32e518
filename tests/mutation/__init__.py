"""Known bugs, planted one by one in a copy of the tree: does anything notice?

    plants     the bugs: what to replace by what, and who is asked
    __main__   copies, plants, asks, reports

A plant whose text is not found exactly once is stale: that is an error, and it is to be brought up to date.
"""
