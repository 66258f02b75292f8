"""Coverage-guided fuzzing of what strangers write and podpin reads. `make fuzz`."""
