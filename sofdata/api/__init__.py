"""What `import sofdata` offers."""
