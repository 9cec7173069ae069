"""Users, roles, tokens, sessions and the audit log: who asks, and what they may do."""
