"""The cases of mount.programs, one file a kind of program."""
