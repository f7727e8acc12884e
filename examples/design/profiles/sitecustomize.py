"""Stands for the import hook that the field notes mount: no cuDNN conv3d on sm_121."""
