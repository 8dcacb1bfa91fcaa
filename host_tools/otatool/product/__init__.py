"""What a new product starts with: layout, partition table, first images."""
