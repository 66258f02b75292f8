"""podpin's tests. A package, so that no other package named tests on the path can take its place."""
