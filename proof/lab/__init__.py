"""Code that campaigns and tests share: stacks, callers, radiographs and load."""
