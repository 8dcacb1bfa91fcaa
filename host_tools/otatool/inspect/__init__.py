"""What a file contains, in words and pictures."""
