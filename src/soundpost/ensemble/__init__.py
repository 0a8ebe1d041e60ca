"""Recipes and weights as data, and how members' answers blend into one."""
