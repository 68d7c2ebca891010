"""What strangers can do to the shipped server: hostile requests, a crowd on shared connections, stalled clients.

`make abuse` runs it; it takes about ten minutes, and needs Linux, whose /proc tells what the server holds.
"""
