"""Drift: do today's radiographs and answers still look like those of the reference?"""
