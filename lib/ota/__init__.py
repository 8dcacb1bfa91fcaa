"""Power-safe OTA updates for MicroPython: the public face of the library."""
