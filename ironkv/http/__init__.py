"""The HTTP port: figures for Prometheus, probes, and the console.

It runs in a thread with a loop of its own, so that writing a long page cannot stall the node; what it
tells it asks the node's loop for, as plain data (docs/decisions/0012-http.md).
"""
