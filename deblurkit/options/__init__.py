"""Option files: reading and merging YAML, checking it whole, and writing it out again."""
