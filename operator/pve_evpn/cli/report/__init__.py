"""What the commands for people say, made from objects alone: no I/O, no terminal."""
