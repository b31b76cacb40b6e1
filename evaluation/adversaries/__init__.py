"""What a thief does with the answers, one way a file."""
