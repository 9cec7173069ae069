"""The pages: views, their forms, and their addresses."""
