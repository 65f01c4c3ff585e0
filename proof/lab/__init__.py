"""What campaigns and tests share: stacks, callers, radiographs, load."""
