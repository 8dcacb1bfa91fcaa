"""Application images: a folder becomes a ROMFS or a littlefs."""
