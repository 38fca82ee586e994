"""What any program needs of its machine: processes, signals, locks, versions."""
