"""Patches: search for copies, choose the smallest form, write the payload."""
