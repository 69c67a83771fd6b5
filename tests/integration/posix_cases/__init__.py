"""The cases of mount.posix, one file a subject."""
