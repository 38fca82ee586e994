"""Readers of what strangers wrote: what a header claims is held against the bytes that are there.

Nothing is allocated, decoded or descended into before that, and whatever is wrong is an
`InputError` that says what. Each kind of content has its one reader here.
"""
