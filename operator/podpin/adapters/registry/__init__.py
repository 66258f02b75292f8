"""Image registries, behind one small port."""
