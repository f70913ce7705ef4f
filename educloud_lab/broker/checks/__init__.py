"""Checks: assertions about a machine or its cloud, judged here and never by the student's kernel."""
