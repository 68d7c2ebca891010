"""Hostile requests, many users on shared connections, and stalled clients against the shipped server.

`make abuse` runs these trials and takes about ten minutes. They need Linux, because they read the server's resources
from /proc.
"""
