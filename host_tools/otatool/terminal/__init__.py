"""What people type and read: consoles, values, the meaning of error codes."""
