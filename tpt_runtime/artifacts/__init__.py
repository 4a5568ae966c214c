"""What steps leave on the storage: files that appear whole or not at all, and manifests that say what is complete."""
