"""What the project itself needs: exported schemas."""
