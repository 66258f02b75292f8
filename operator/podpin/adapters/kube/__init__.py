"""The Kubernetes API: one place that sends requests, one that keeps slim copies of what podpin watches, one that carries out.

Bodies are plain dicts. The official client gives connection, credentials and TLS; its typed models stay out of the hot paths,
where they would cost five times the memory and the time.
"""
