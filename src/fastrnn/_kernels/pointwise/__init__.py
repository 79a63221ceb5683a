"""Functions of numbers and of rows: elementwise, dropout, embedding, loss, optimizers."""
