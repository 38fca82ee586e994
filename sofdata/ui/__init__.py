"""What is printed: the console, texts made safe, short forms of values."""
