"""Fetches a listed file when a client asks for it: once, over all clients and processes.

    request   what to fetch, and from which upstream        errors    how a fetch fails
    pending   those who wait, and who leads                 slots     how many at once
    leader    downloads and verifies                        results   stored, or refused
    stream    sends what has come so far                    refusals  what failed not long ago
    blocking  waits on the thread that asks

Nothing counts as stored before its hash is right.
"""
