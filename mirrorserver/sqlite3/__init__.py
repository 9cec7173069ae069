"""Django's backend for SQLite, whose connections open while somebody else writes."""
