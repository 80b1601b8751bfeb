"""PBS and Torque, and their job arrays."""
