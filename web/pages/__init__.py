"""The pages: their addresses, views and forms."""
