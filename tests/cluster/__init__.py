"""Real processes on free ports: what a user would see. Logic is tested in virtual time elsewhere."""
