"""Host tools of the OTA library: functions first, the command line on top (cli.py)."""
