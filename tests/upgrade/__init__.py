"""What an earlier podpin has left in a cluster goes through this one: nothing rolls out, no release gets another id.

`objects/` holds what podpins of earlier commits have stored; `python -m tests.upgrade FILE` writes what this one does.
"""
