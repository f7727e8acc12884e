"""What is seen of a cluster from outside a run: its state, its logs."""
