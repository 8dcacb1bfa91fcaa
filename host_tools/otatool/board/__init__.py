"""A board on the serial port: its REPL, and installing a package over it."""
