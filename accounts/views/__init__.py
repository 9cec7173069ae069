"""The pages of accounts: session, profile, people."""
