"""The part of podpin that decides. Pure: values in, values out; no clock, no I/O, and it imports nobody but itself."""
