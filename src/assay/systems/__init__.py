"""What is audited: maps from inputs to outputs, established methods and networks alike."""
