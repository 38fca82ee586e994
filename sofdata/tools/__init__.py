"""What the project itself needs: exported schemas, the page of the public surface."""
