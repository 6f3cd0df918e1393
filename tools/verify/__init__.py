"""`make verify-aws`: checks AWS behavior that Treadle relies on, with temporary resources in an account."""
