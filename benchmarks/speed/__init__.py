"""A comparison of Charter with services that do the same, each with an environment, a process and a core of its own.

`make bench` runs it and writes benchmarks/RESULTS.md. It needs Linux, two cores and wrk.
"""
