"""The command line for people: `podpin` and `kubectl podpin`, one module for each thing that can be asked.

`commands` is the table of them. `views` says what is shown, and is pure; the modules here ask the cluster and print.
They need no more rights than an editor of the namespace has, and say so where they lack one.
"""
