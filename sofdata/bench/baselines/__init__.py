"""Arms of other papers."""
