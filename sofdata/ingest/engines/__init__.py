"""What runs units: this process, processes of this machine, or actors of Ray."""
