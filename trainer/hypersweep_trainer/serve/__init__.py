"""What a trained model is good for: predictions, measures on new rows, a program for elsewhere."""
