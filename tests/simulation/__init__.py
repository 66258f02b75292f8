"""podpin in a cluster made of paper: years of bad weather in minutes, and the design's promises held in all of it.

What is podpin's is real: the reconciler, the adapter to the API server with its mirrors, the core. All else is a model,
a room for each part of a cluster: `api` (objects, versions, watches), `deployments` (ReplicaSets by template), `nodes`
and `kubelet` (Pods from their scheduling to their end), `images` (a registry, and what becomes of an image that runs).
`podpin` is one life of the operator, which may end after any write. `cluster` puts them together, `promises` says what
must hold, `machine` lets Hypothesis do its worst. Time is a number: an hour takes as long as what happens in it.
"""
