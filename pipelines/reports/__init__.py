"""Reports for people: HTML and Markdown."""
