"""Django's folder for management commands."""
