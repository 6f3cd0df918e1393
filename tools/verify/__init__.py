"""`make verify-aws`: what Treadle relies on in AWS, tried on an account with resources that exist for the run only."""
