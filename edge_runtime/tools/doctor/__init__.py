"""`latentline-edge doctor`: examines a machine: its hardware and libraries, whether the search is right, how fast."""
