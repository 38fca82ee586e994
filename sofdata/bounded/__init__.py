"""Readers of files that others wrote: what a header claims is checked against the bytes there.

Nothing is allocated, decoded or descended into before that, and whatever is wrong is an
`InputError` that says what. Each kind of content has its one reader here.
"""
