"""`treadle dev`: a project's sensors on this machine, over stores in memory and the system clock."""
