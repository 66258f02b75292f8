"""The clouds' own identities, from which credentials for their registries come."""
