"""The Kubernetes API: one module sends requests, one keeps slim copies of what podpin watches, one carries out.

Bodies are plain dicts. The official client gives connection, credentials and TLS; its typed models stay out of the hot
paths, where they would cost five times the memory and the time.
"""
