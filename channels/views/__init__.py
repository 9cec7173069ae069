"""The pages of channels and what is in them."""
