"""Workloads that are timed: plain functions, their peers, and records of what was measured."""
