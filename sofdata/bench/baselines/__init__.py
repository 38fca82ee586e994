"""Methods of other papers that the study compares with."""
