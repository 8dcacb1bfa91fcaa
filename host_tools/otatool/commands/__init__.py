"""One module per command: add(subparsers) declares its arguments, run(args) calls functions."""
