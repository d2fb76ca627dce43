"""`dev`: a saved file is built and swapped in, again and again."""
