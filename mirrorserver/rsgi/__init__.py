"""How requests reach this server's code and answers leave it, on granian's RSGI interface.

The rule: a connection never holds a thread. What waits for a client or an upstream waits on the
event loop; threads do work that ends by itself.
"""
