"""Rehearsal hosts that are virtual machines: real verbs over Soft-RoCE, kernels of their own."""
