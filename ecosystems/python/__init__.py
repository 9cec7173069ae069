"""Python indexes: the Simple API, wheels and specifiers, as the PEPs define them."""
