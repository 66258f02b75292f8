"""A real Kubernetes on one machine, in seconds: what podpin's tests, demo and benchmark run against.

Real API server, etcd, kubelet, containerd and registries, built from published Go modules and Debian packages, in
namespaces of their own, gone without a trace. README.md beside this file says how to use it.
"""
