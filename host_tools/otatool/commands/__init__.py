"""One module per command: add(parser) declares its arguments, run(args) calls functions.

The command line imports the module of the command that runs and no other; what several of
them share is in the modules with an underscore.
"""
