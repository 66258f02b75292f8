"""`make bench`: what podpin costs and how fast it is, measured on a real API server, beside its budgets and its peers.

Nothing here is a test, and nothing that is timed can fail one. What depends on the machine is also given as a ratio to
the bare requests that the same work needs at least, sent in the same run, by the same client code, to the same servers.
"""
