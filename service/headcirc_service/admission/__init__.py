"""What is let in, how much of it at a time, and in which order it is measured."""
