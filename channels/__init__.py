"""What clients install from: channels, their revisions, packages, documents and files."""
