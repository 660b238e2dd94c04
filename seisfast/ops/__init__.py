"""Operators registered with torch: checks and allocation in Python, arithmetic in the compiled extension."""
