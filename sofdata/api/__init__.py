"""The functions that `import sofdata` offers."""
