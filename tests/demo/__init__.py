"""The demo: podpin's main job on a real cluster, shown as it happens."""
